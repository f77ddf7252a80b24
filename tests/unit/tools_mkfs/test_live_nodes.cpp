// SPDX-License-Identifier: LGPL-2.1-or-later
// A volume with living nodes is never overwritten; one whose nodes are dead is, after the dead time.
#include "heartbeat/timing.hpp"
#include "tests/unit/tools_mkfs/mkfs_fixture.hpp"

namespace sdlm::tools::mkfs {
namespace {

using disk::SlotState;

class MkfsLiveTest : public MkfsTest {
protected:
    MkfsLiveTest() : path_(new_volume()), timing_(*heartbeat::make_timing(125, 1000, 125)) { slept_ = {}; }
    void expect_untouched() { EXPECT_EQ(superblock_of(path_).label, "old") << "the volume was overwritten"; }
    void expect_formatted() {
        EXPECT_EQ(mkfs({"-f", "-L", "new", path_}), exit_ok) << err_;
        EXPECT_EQ(superblock_of(path_).label, "new");
    }

    std::string path_;
    heartbeat::Timing timing_;
};

TEST_F(MkfsLiveTest, ABeatingNodeIsNeverOverwritten) {
    for (const auto state : {SlotState::claiming, SlotState::live, SlotState::leaving}) {
        write_slot(path_, 2, state, 100);
        write_card(path_, 2, "alpha");
        std::uint64_t sequence = 100;
        on_sleep_ = [&] { write_slot(path_, 2, state, ++sequence); };
        slept_ = {};
        EXPECT_EQ(mkfs({"-f", path_}), exit_failed);
        for (const char* part : {"node 2", "\"alpha\"", "\"h1\"", "is alive", "0x10400", "125 ms"})
            EXPECT_NE(err_.find(part), std::string::npos) << part << ": " << err_;
        EXPECT_NE(out_.find("watching for a heartbeat for 1387 ms"), std::string::npos) << out_;
        EXPECT_EQ(slept_, timing_.heartbeat) << "it refuses as soon as it knows";
        expect_untouched();
    }
}

TEST_F(MkfsLiveTest, ASlowHeartbeatIsSeenToo) {
    write_slot(path_, 0, SlotState::live, 100);
    on_sleep_ = [&] {
        if (slept_ >= timing_.dead()) write_slot(path_, 0, SlotState::live, 101);      // at the last moment
    };
    EXPECT_EQ(mkfs({"-f", path_}), exit_failed);
    EXPECT_NE(err_.find("node 0"), std::string::npos) << err_;
    expect_untouched();
}

TEST_F(MkfsLiveTest, ADeadNodeIsOverwrittenAfterTheDeadTime) {
    write_slot(path_, 1, SlotState::live, 100);
    write_slot(path_, 3, SlotState::claiming, 1);
    expect_formatted();
    EXPECT_GE(slept_, timing_.dead());
    EXPECT_LE(slept_, timing_.dead() + timing_.heartbeat);
    EXPECT_NE(out_.find("node 1"), std::string::npos) << out_;
    EXPECT_NE(out_.find("node 3"), std::string::npos) << out_;
}

TEST_F(MkfsLiveTest, OneLivingNodeAmongDeadOnesIsEnough) {
    for (NodeIndex node = 0; node < 4; ++node) write_slot(path_, node, SlotState::live, 5);
    on_sleep_ = [&] { write_slot(path_, 3, SlotState::live, 6); };
    EXPECT_EQ(mkfs({"-f", path_}), exit_failed);
    EXPECT_NE(err_.find("node 3 is alive"), std::string::npos) << err_;
    expect_untouched();
}

TEST_F(MkfsLiveTest, NodesThatHaveLeftAreNotWaitedFor) {
    write_slot(path_, 0, SlotState::left, 100);
    write_slot(path_, 1, SlotState::fenced, 100);
    expect_formatted();
    EXPECT_EQ(slept_.ns, 0);
}

TEST_F(MkfsLiveTest, ADamagedSlotMayBeALivingNodes) {
    write_slot(path_, 1, SlotState::live, 100);
    flip_bit(path_, disk::slots_offset + 512 + 0x40);
    on_sleep_ = [&] { write_slot(path_, 1, SlotState::live, 101); };
    EXPECT_EQ(mkfs({"-f", path_}), exit_failed);
    EXPECT_NE(out_.find("is damaged"), std::string::npos) << out_;
    EXPECT_NE(err_.find("node 1"), std::string::npos) << err_;
    expect_untouched();

    flip_bit(path_, disk::slots_offset + 512 + 0x40);
    on_sleep_ = nullptr;
    slept_ = {};
    expect_formatted();
    EXPECT_GE(slept_, timing_.dead());
}

TEST_F(MkfsLiveTest, ASlotOfAnotherVolumeIsWatchedAndThenOverwritten) {
    const std::string other = new_image("other.img", image_bytes);
    ASSERT_EQ(mkfs({"-N", "4", "-U", "11111111-2222-3333-4444-555555555555", other}), exit_ok);
    write_slot(other, 2, SlotState::live, 5);
    poke(path_, disk::slots_offset + 1024, peek(other, disk::slots_offset + 1024, 512));
    expect_formatted();
    EXPECT_GE(slept_, timing_.dead());
}

TEST_F(MkfsLiveTest, WithoutAnySuperblockLivingNodesAreStillFound) {
    for (const std::string block : {"512", "4096"}) {
        ASSERT_EQ(mkfs({"-f", "-N", "4", "-b", block, "-L", "old", path_}), exit_ok) << err_;
        const disk::Superblock superblock = superblock_of(path_);
        const std::uint64_t slot = superblock.geometry.slot_offset(3);
        write_slot(path_, 3, SlotState::live, 8);
        const auto next = peek(path_, slot, superblock.geometry.block_bytes);
        write_slot(path_, 3, SlotState::live, 7);
        poke(path_, 0, std::vector<std::byte>(4096));
        poke(path_, image_bytes - 4096, std::vector<std::byte>(4096));
        on_sleep_ = [&] { poke(path_, slot, next); };
        EXPECT_EQ(mkfs({"-f", path_}), exit_failed) << block;
        EXPECT_NE(err_.find("node 3 is alive"), std::string::npos) << err_;

        on_sleep_ = nullptr;
        slept_ = {};
        EXPECT_EQ(mkfs({path_}), exit_ok) << err_;
        EXPECT_GE(slept_, heartbeat::default_timing.dead()) << "the volume's own timing is unknown";
    }
}

TEST_F(MkfsLiveTest, ATruncatedVolumeIsJudgedByTheSlotsThatAreLeft) {
    const std::string cut = new_image("cut.img", 1 << 20);
    write_slot(path_, 0, SlotState::live, 5);
    poke(cut, 0, peek(path_, 0, 1 << 20));
    EXPECT_EQ(mkfs({"-N", "2", cut}), exit_failed);
    EXPECT_NE(err_.find("sdlm volume"), std::string::npos) << err_;
    EXPECT_EQ(mkfs({"-f", "-N", "2", cut}), exit_ok) << err_;
    EXPECT_GE(slept_, timing_.dead());
}

TEST_F(MkfsLiveTest, OldSlotsAreGoneAfterwards) {
    write_slot(path_, 0, SlotState::live, 5);
    on_sleep_ = nullptr;
    expect_formatted();
    slept_ = {};
    expect_formatted();
    EXPECT_EQ(slept_.ns, 0) << "no slot of the old volume is left";
}

}  // namespace
}  // namespace sdlm::tools::mkfs
