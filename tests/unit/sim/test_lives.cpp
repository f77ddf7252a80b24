// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "tests/sim/life.hpp"
#include "tests/sim/violation.hpp"

namespace sdlm::sim {
namespace {

constexpr heartbeat::Timing timing{milliseconds(250), milliseconds(2'000), milliseconds(500)};

class LivesTest : public testing::Test {
protected:
    LivesTest() {
        geometry.volume_bytes = disk::bytes_needed(512, 4, 64 * 1024);
        id = lives.begin(0, 1, {}, 0);
    }
    std::vector<std::byte> slot_image(NodeIndex node, disk::SlotState state, std::uint64_t generation) const {
        std::vector<std::byte> block(512);
        disk::SlotHeader header;
        header.node = node;
        header.state = state;
        header.incarnation = {generation, 77};
        header.sequence = 1;
        disk::encode_slot(header, 0, {}, volume, geometry.slot_offset(node), block);
        return block;
    }
    void write(LifeId life, NodeIndex node, disk::SlotState state, std::uint64_t generation, Time now) {
        lives.check_write(life, geometry.slot_offset(node), slot_image(node, state, generation), volume, now);
    }
    void make_live() {
        write(id, 1, disk::SlotState::claiming, 1, 0);
        lives.joined(id, 1, {1, 77}, 0);
        lives.slot_write_done(id, disk::SlotState::live, true, Instant{0}, Instant{ms(1)});
    }

    disk::Geometry geometry{512, 4, 64 * 1024, 0};
    Uuid volume{{1, 2, 3}};
    Lives lives{geometry, timing};
    LifeId id = 0;
};

TEST_F(LivesTest, OnlyOwnBlocksMayBeWritten) {
    make_live();
    EXPECT_NO_THROW(write(id, 1, disk::SlotState::live, 1, ms(1)));
    EXPECT_THROW(write(id, 2, disk::SlotState::live, 1, ms(1)), Violation);
    EXPECT_THROW(write(id, 1, disk::SlotState::live, 2, ms(1)), Violation);
    const std::vector<std::byte> page(4096);
    EXPECT_NO_THROW(lives.check_write(id, geometry.area_offset(1), page, volume, ms(1)));
    EXPECT_THROW(lives.check_write(id, geometry.area_offset(2), page, volume, ms(1)), Violation);
    EXPECT_THROW(lives.check_write(id, geometry.area_offset(1) + 64 * 1024 - 512, page, volume, ms(1)), Violation);
    EXPECT_THROW(lives.check_write(id, disk::superblock_offset, page, volume, ms(1)), Violation);
    EXPECT_THROW(lives.check_write(id, geometry.area_offset(1) + 8, page, volume, ms(1)), Violation);
}

TEST_F(LivesTest, LiveSlotMayNotBeClaimedNorShared) {
    make_live();
    const LifeId thief = lives.begin(1, 1, {}, ms(2));
    EXPECT_THROW(write(thief, 1, disk::SlotState::claiming, 2, ms(1'000)), Violation);
    EXPECT_NO_THROW(write(thief, 1, disk::SlotState::claiming, 2, ms(2'100)));
    EXPECT_THROW(lives.joined(thief, 1, {2, 77}, ms(2'200)), Violation);
    EXPECT_NO_THROW(lives.joined(thief, 1, {2, 77}, ms(2'251)));
}

TEST_F(LivesTest, LeaseCountsFromSubmissionAndExpiryIsSticky) {
    make_live();
    EXPECT_EQ(lives.use_end(lives.get(id)), ms(2'250));
    lives.slot_write_done(id, disk::SlotState::live, true, Instant{ms(1'000)}, Instant{ms(1'900)});
    EXPECT_EQ(lives.use_end(lives.get(id)), ms(3'250));
    lives.slot_write_done(id, disk::SlotState::live, false, Instant{ms(1'800)}, Instant{ms(1'910)});
    lives.slot_write_done(id, disk::SlotState::live, true, Instant{ms(2'000)}, Instant{ms(3'000)});
    EXPECT_EQ(lives.use_end(lives.get(id)), ms(3'250));
}

TEST_F(LivesTest, EarlyEvictionIsReported) {
    make_live();
    const LifeId observer = lives.begin(1, 1, {}, 0);
    EXPECT_THROW(lives.check_evicted(observer, 1, {1, 77}, ms(2'249)), Violation);
    EXPECT_NO_THROW(lives.check_evicted(observer, 1, {1, 77}, ms(2'250)));
    EXPECT_NO_THROW(lives.check_evicted(observer, 1, {9, 77}, ms(10)));
}

TEST_F(LivesTest, GivingUpWithLeaseLeftAndRunningOnWithoutAreReported) {
    make_live();
    EXPECT_THROW(lives.check_lost(id, false, "why", ms(1'500)), Violation);
    EXPECT_NO_THROW(lives.check_lost(id, true, "fenced", ms(1'500)));
    EXPECT_NO_THROW(lives.check_lost(id, false, "lease", ms(2'000)));
    EXPECT_NO_THROW(lives.check_lease_respected(id, ms(2'000)));
    EXPECT_THROW(lives.check_lease_respected(id, ms(2'002)), Violation);
}

}  // namespace
}  // namespace sdlm::sim
