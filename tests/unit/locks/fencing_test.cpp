// SPDX-License-Identifier: LGPL-2.1-or-later
// Nodes that stop themselves, whose guardian speaks for them, or whose host an administrator calls dead: others go on
// before the lease is over, and never before it is safe.
#include <gtest/gtest.h>

#include <cstring>

#include "heartbeat/last_image.hpp"
#include "memory_cluster.hpp"

namespace sdlm::node {
namespace {

using disk::Mode;
using locks::Demand;
using locks::Handle;
using locks::Want;

class Fencing : public ::testing::TestWithParam<std::uint32_t> {
protected:
    MemoryCluster c{GetParam()};
    Handle a = locks::no_handle, b = locks::no_handle;
    Handle open(NodeIndex node, const std::string& name = "r") { return c.core(node).open({"ls", name}).value(); }
    void want(NodeIndex node, Handle h, Mode mode) {
        c.client(node).events.clear();
        Demand demand;
        demand.want = Want{.mode = mode};
        c.core(node).set_demand(h, demand);
    }
    void take(NodeIndex node, Handle h, Mode mode) {
        want(node, h, mode);
        ASSERT_TRUE(c.run_until([&] { return c.client(node).has('g'); }));
    }
    void use(NodeIndex node, Handle h, Mode mode) {
        Demand demand;
        demand.used = mode;
        demand.cache = false;
        c.core(node).set_demand(h, demand);
    }
    // Node 0 holds `a`, node 1 waits for it.
    void contend() {
        c.join_all({0, 1});
        a = open(0), b = open(1);
        take(0, a, Mode::EX);
        want(1, b, Mode::EX);
    }
    template <class Event>
    bool saw(NodeIndex node) {
        for (const NodeEvent& event : c.nodes[node].events)
            if (std::holds_alternative<Event>(event)) return true;
        return false;
    }
    std::span<std::byte> slot(NodeIndex node) {
        const auto& g = c.superblock.geometry;
        return std::span(c.bytes).subspan(g.slot_offset(node), g.block_bytes);
    }
    disk::SlotState state_on_disk(NodeIndex node) {
        return disk::decode_slot_header(slot(node), c.superblock.uuid, node,
                                        c.superblock.geometry.slot_offset(node))->state;
    }
    void guardian_writes(NodeIndex node) {
        const LeaseFacts facts = c.core(node).lease();
        const auto image = heartbeat::make_last_image(slot(node), c.superblock.uuid, node,
                                                      c.superblock.geometry.slot_offset(node), facts.life,
                                                      facts.submitted);
        ASSERT_TRUE(image.has_value());
        std::memcpy(slot(node).data(), image->data(), image->size());
    }
    static std::vector<std::byte> value(char c) { return std::vector<std::byte>(8, static_cast<std::byte>(c)); }
};
INSTANTIATE_TEST_SUITE_P(Blocks, Fencing, ::testing::Values(512U, 4096U));

TEST_P(Fencing, WhoeverStopsOnRequestFreesItsLocksAtOnce) {
    contend();
    c.run(milliseconds(1000));
    ASSERT_TRUE(c.core(1).request_fence(0).has_value());
    const Instant asked = c.now();
    ASSERT_TRUE(c.run_until([&] { return saw<FenceBegun>(0); }));
    EXPECT_TRUE(c.client(0).has('l'));
    EXPECT_EQ(c.core(0).held(a), Mode::NL);
    c.core(0).clients_stopped();
    ASSERT_TRUE(c.run_until([&] { return c.client(1).has('g'); }));
    EXPECT_LT(c.now() - asked, milliseconds(1000));
    EXPECT_TRUE(saw<Fenced>(0));
    EXPECT_EQ(state_on_disk(0), disk::SlotState::fenced);
    EXPECT_FALSE(c.client(1).last('g').lvb.valid);        // its holder could have written a value
}

TEST_P(Fencing, TheSlotSaysNothingBeforeTheClientsHaveStopped) {
    contend();
    c.run(milliseconds(100));
    ASSERT_TRUE(c.core(1).request_fence(0).has_value());
    ASSERT_TRUE(c.run_until([&] { return saw<FenceBegun>(0); }));
    c.run(c.timing.lease - c.timing.heartbeat * 2);
    EXPECT_EQ(state_on_disk(0), disk::SlotState::live);
    EXPECT_FALSE(c.client(1).has('g'));
    ASSERT_TRUE(c.run_until([&] { return c.client(1).has('g'); }));    // by the clock
    EXPECT_TRUE(saw<LeaseLost>(0));
    EXPECT_FALSE(saw<Fenced>(0));
}

TEST_P(Fencing, AGuardiansImageKeepsTheLastWords) {
    c.join_all({0, 1});
    a = open(0), b = open(1);
    use(1, b, Mode::NL);                                  // needs the value from now on
    c.run(milliseconds(1000));
    take(0, a, Mode::EX);
    c.core(0).write_lvb(a, value('x'), true);
    c.nodes[1].frozen = true;                             // it will have seen none of this
    use(0, a, Mode::NL);
    c.run(milliseconds(1200));
    c.kill(0);
    guardian_writes(0);
    c.nodes[1].frozen = false;
    const Instant dead = c.now();
    take(1, b, Mode::PR);
    EXPECT_LT(c.now() - dead, milliseconds(1000));
    EXPECT_TRUE(c.client(1).last('g').lvb.valid);
    EXPECT_EQ(c.client(1).last('g').lvb.bytes[0], static_cast<std::byte>('x'));
}

TEST_P(Fencing, AnotherLifeIsNeverCertified) {
    c.join_all({0, 1});
    const auto& g = c.superblock.geometry;
    LeaseFacts facts = c.core(0).lease();
    const auto make = [&] {
        return heartbeat::make_last_image(slot(0), c.superblock.uuid, 0, g.slot_offset(0), facts.life, facts.submitted);
    };
    EXPECT_TRUE(make().has_value());
    facts.life.nonce ^= 1;
    EXPECT_EQ(make().error().code, Errc::busy);
    facts.life.nonce ^= 1;
    c.kill(0);
    guardian_writes(0);
    EXPECT_EQ(make().error().code, Errc::stale);
    slot(0)[40] ^= std::byte{1};
    EXPECT_EQ(make().error().code, Errc::bad_checksum);
}

TEST_P(Fencing, AfterACertifiedDeathTheSameNumberIsBackSoon) {
    c.join_all({0, 1, 2});
    a = open(0);
    take(0, a, Mode::EX);
    c.kill(0);
    guardian_writes(0);
    const Instant dead = c.now();
    c.start(0);
    ASSERT_TRUE(c.run_until([&] { return c.live(0); }));
    EXPECT_LT(c.now() - dead, milliseconds(2000));
    EXPECT_FALSE(saw<Warning>(1));
}

TEST_P(Fencing, AHeldEvictionWaitsForItsConfirmation) {
    c.hold_evictions = true;
    contend();
    const Incarnation life = c.core(0).lease().life;
    c.kill(0);
    ASSERT_TRUE(c.run_until([&] { return saw<PeerSilent>(1); }));
    c.run(c.timing.failover_bound() * 2);
    EXPECT_FALSE(c.client(1).has('g'));
    Incarnation other = life;
    ++other.generation;
    c.core(1).confirm_eviction(0, other);
    c.run(milliseconds(1000));
    EXPECT_FALSE(c.client(1).has('g'));
    c.core(1).confirm_eviction(0, life);
    ASSERT_TRUE(c.run_until([&] { return c.client(1).has('g'); }, milliseconds(1000)));
    EXPECT_TRUE(saw<PeerEvicted>(1));
}

TEST_P(Fencing, OnlyASilentNodeCanBeDeclaredDead) {
    contend();
    c.run(milliseconds(700));
    EXPECT_EQ(c.core(1).declare_dead(0).error().code, Errc::busy);
    EXPECT_EQ(c.core(1).declare_dead(3).error().code, Errc::not_found);
    c.kill(0);
    c.run(c.timing.quiet() + milliseconds(600));
    EXPECT_FALSE(c.client(1).has('g'));
    ASSERT_TRUE(c.core(1).declare_dead(0).has_value());
    ASSERT_TRUE(c.run_until([&] { return c.client(1).has('g'); }, milliseconds(1000)));
}

TEST_P(Fencing, ARequestIsTakenBackWhenTheLifeHasEnded) {
    c.join_all({0, 1, 2});
    c.run(milliseconds(1000));
    ASSERT_TRUE(c.core(1).request_fence(0).has_value());
    ASSERT_TRUE(c.run_until([&] { return saw<FenceBegun>(0); }));
    c.core(0).clients_stopped();
    ASSERT_TRUE(c.run_until([&] { return saw<PeerEvicted>(1) && saw<PeerEvicted>(2); }));
    c.start(0);
    ASSERT_TRUE(c.run_until([&] { return c.live(0); }));
    c.run(milliseconds(20'000));
    EXPECT_TRUE(c.live(0));
}

TEST_P(Fencing, AnExchangedDeviceEndsTheNodeBeforeItDecidesAnything) {
    c.join_all({0, 1});
    a = open(0), b = open(1);
    take(0, a, Mode::EX);
    // Node 1 finds another volume of the same shape where its device was; node 0 is not harmed by that.
    MemoryCluster other{GetParam()};
    other.superblock.uuid.bytes[1] = 99;
    const auto& g = c.superblock.geometry;
    disk::encode(other.superblock, disk::superblock_offset, std::span(c.bytes).first(disk::superblock_bytes));
    for (NodeIndex node = 0; node < g.slot_count; ++node) {
        disk::SlotHeader header;
        header.node = node;
        disk::encode_slot(header, 0, {}, other.superblock.uuid, g.slot_offset(node), slot(node));
    }
    c.nodes[0].frozen = true;
    want(1, b, Mode::EX);
    ASSERT_TRUE(c.run_until([&] { return saw<LeaseLost>(1); }, milliseconds(1500)));
    EXPECT_FALSE(c.client(1).has('g'));
    EXPECT_TRUE(c.client(1).has('l'));
}

TEST_P(Fencing, AnEmptyDeviceEndsTheNodeToo) {
    c.join_all({0, 1});
    c.nodes[0].frozen = true;
    std::fill(c.bytes.begin(), c.bytes.end(), std::byte{0});
    ASSERT_TRUE(c.run_until([&] { return saw<LeaseLost>(1); }, milliseconds(1500)));
}

}  // namespace
}  // namespace sdlm::node
