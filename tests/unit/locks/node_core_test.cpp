// SPDX-License-Identifier: LGPL-2.1-or-later
// Scenarios of whole nodes on one disk.
#include <gtest/gtest.h>

#include "memory_cluster.hpp"

namespace sdlm::node {
namespace {

using disk::Mode;
using locks::Demand;
using locks::Handle;
using locks::Want;

Demand want(Mode mode, Mode used = Mode::NL) {
    Demand d;
    d.used = used;
    d.want = Want{.mode = mode};
    return d;
}
Demand trylock(Mode mode) {
    Demand d = want(mode);
    d.want->noqueue = true;
    return d;
}
Demand use(Mode mode) {
    Demand d;
    d.used = mode;
    return d;
}
std::vector<std::byte> value(const char* text) {
    std::vector<std::byte> out(64);
    for (std::size_t i = 0; text[i] != '\0'; ++i) out[i] = static_cast<std::byte>(text[i]);
    return out;
}
std::string shown(const disk::Lvb& lvb) {
    std::string out;
    for (std::size_t i = 0; i < lvb.length && lvb.bytes[i] != std::byte{0}; ++i) out += static_cast<char>(lvb.bytes[i]);
    return out;
}

class Nodes : public ::testing::TestWithParam<std::uint32_t> {
protected:
    MemoryCluster c{GetParam()};
    Handle open(NodeIndex node, const std::string& name = "r") { return c.core(node).open({"ls", name}).value(); }
    void take(NodeIndex node, Handle h, Mode mode, Mode used = Mode::NL) {
        c.client(node).events.clear();
        c.core(node).set_demand(h, want(mode, used));
        ASSERT_TRUE(c.run_until([&] { return c.client(node).has('g'); })) << "node " << node << " got no grant";
    }
};
INSTANTIATE_TEST_SUITE_P(Blocks, Nodes, ::testing::Values(512U, 4096U));

TEST_P(Nodes, UncontendedAcquireIsOneWriteAndOneRead) {
    c.join_all({0, 1});
    c.run(c.timing.heartbeat * 2);   // the first sight of a live node may ask for a second read (PROTOCOL §6)
    const Counters before = c.core(0).status(c.now()).counters;
    for (int i = 0; i < 50; ++i) {
        const Handle h = open(0, "r" + std::to_string(i));
        const Instant asked = c.now();
        take(0, h, Mode::EX);
        EXPECT_EQ(c.now() - asked, c.latency * 2);
        c.core(0).close(h);
    }
    // The 20 ms that this takes may hold one heartbeat, of reads and of writes.
    const Counters after = c.core(0).status(c.now()).counters;
    EXPECT_LE(after.slot_writes - before.slot_writes, 51U);
    EXPECT_EQ(after.page_writes - before.page_writes, 0U);
    EXPECT_LE(after.slot_reads - before.slot_reads, 51U);
}

TEST_P(Nodes, CachedAcquireCostsNothing) {
    c.join_all({0, 1});
    const Handle h = open(0);
    take(0, h, Mode::EX);
    c.run(milliseconds(1200));
    c.core(0).set_demand(h, use(Mode::NL));
    const Counters before = c.core(0).status(c.now()).counters;
    const Instant asked = c.now();
    take(0, h, Mode::PR);
    EXPECT_EQ(c.now(), asked);
    EXPECT_EQ(c.core(0).status(c.now()).counters.slot_writes, before.slot_writes);
    EXPECT_EQ(c.core(0).status(c.now()).counters.slot_reads, before.slot_reads);
}

TEST_P(Nodes, ManyRequestsRideInOneWrite) {
    c.join_all({0, 1});
    std::vector<Handle> handles;
    for (int i = 0; i < 256; ++i) handles.push_back(open(0, "r" + std::to_string(i)));
    c.run(milliseconds(600));
    c.client(0).events.clear();
    const Counters before = c.core(0).status(c.now()).counters;
    for (Handle h : handles) c.core(0).set_demand(h, want(Mode::EX));
    ASSERT_TRUE(c.run_until([&] { return c.client(0).events.size() == 256; }));
    EXPECT_LE(c.core(0).status(c.now()).counters.slot_writes - before.slot_writes, 4U);
}

TEST_P(Nodes, ExclusiveMovesWithItsValue) {
    c.join_all({0, 1});
    const Handle a = open(0), b = open(1);
    take(0, a, Mode::EX);
    EXPECT_EQ(c.client(0).last('g').lvb.version, 0U);
    c.core(0).write_lvb(a, value("one"), true);
    c.core(1).set_demand(b, want(Mode::EX));
    ASSERT_TRUE(c.run_until([&] { return c.client(0).has('b'); }));
    EXPECT_EQ(c.client(0).last('b').mode, Mode::EX);
    EXPECT_FALSE(c.client(1).has('g'));
    const Instant released = c.now();
    c.core(0).set_demand(a, use(Mode::NL));
    ASSERT_TRUE(c.run_until([&] { return c.client(1).has('g'); }));
    EXPECT_LE(c.now() - released, milliseconds(8));
    EXPECT_EQ(shown(c.client(1).last('g').lvb), "one");
    EXPECT_TRUE(c.client(1).last('g').lvb.valid);
    EXPECT_EQ(c.core(0).held(a), Mode::NL);
}

TEST_P(Nodes, IdleCacheIsGivenUpToATrylock) {
    c.join_all({0, 1});
    const Handle a = open(0), b = open(1);
    take(0, a, Mode::EX);
    c.core(0).set_demand(a, use(Mode::NL));
    c.run(milliseconds(3000));
    ASSERT_EQ(c.core(0).held(a), Mode::EX);
    c.core(1).set_demand(b, trylock(Mode::EX));
    ASSERT_TRUE(c.run_until([&] { return !c.client(1).events.empty(); }, c.timing.answer()));
    EXPECT_EQ(c.client(1).events.front().kind, 'g');
    EXPECT_FALSE(c.client(0).has('b'));
}

TEST_P(Nodes, TrylockOfAModeInUseIsRefusedByAnAnswer) {
    c.join_all({0, 1});
    const Handle a = open(0), b = open(1);
    take(0, a, Mode::EX);
    c.run(milliseconds(700));
    const Instant asked = c.now();
    c.core(1).set_demand(b, trylock(Mode::PR));
    ASSERT_TRUE(c.run_until([&] { return !c.client(1).events.empty(); }));
    EXPECT_EQ(c.client(1).events.front().kind, 'r');
    EXPECT_LT(c.now() - asked, milliseconds(200));
    EXPECT_FALSE(c.client(0).has('b'));                       // a refused try is not announced
    c.core(0).set_demand(a, use(Mode::NL));
    c.client(1).events.clear();
    c.core(1).set_demand(b, trylock(Mode::PR));               // the old answer does not count
    ASSERT_TRUE(c.run_until([&] { return !c.client(1).events.empty(); }));
    EXPECT_EQ(c.client(1).events.front().kind, 'g');
}

TEST_P(Nodes, TwoTriesDoNotFailEachOther) {
    c.join_all({0, 1});
    for (int round = 0; round < 20; ++round) {
        const std::string name = "r" + std::to_string(round);
        const Handle a = open(0, name), b = open(1, name);
        c.client(0).events.clear();
        c.client(1).events.clear();
        c.core(0).set_demand(a, trylock(Mode::EX));
        c.core(1).set_demand(b, trylock(Mode::EX));
        ASSERT_TRUE(c.run_until([&] { return !c.client(0).events.empty() && !c.client(1).events.empty(); }));
        EXPECT_NE(c.client(0).has('g'), c.client(1).has('g'));
    }
}

TEST_P(Nodes, WaitersAreServedInTicketOrder) {
    c.join_all({0, 1, 2, 3});
    const Handle h[4] = {open(0), open(1), open(2), open(3)};
    take(0, h[0], Mode::EX);
    for (NodeIndex n : {NodeIndex{2}, NodeIndex{1}, NodeIndex{3}}) {
        c.core(n).set_demand(h[n], want(Mode::EX));
        c.run(milliseconds(300));
    }
    c.core(0).set_demand(h[0], use(Mode::NL));
    for (NodeIndex n : {NodeIndex{2}, NodeIndex{1}, NodeIndex{3}}) {
        ASSERT_TRUE(c.run_until([&] { return c.client(n).has('g'); })) << n;
        for (NodeIndex other = 1; other < 4; ++other) {
            if (other != n) {
                EXPECT_EQ(c.core(other).held(h[other]), Mode::NL);
            }
        }
        c.core(n).set_demand(h[n], use(Mode::NL));
    }
}

TEST_P(Nodes, SharedWaitersAreGrantedTogether) {
    c.join_all({0, 1, 2, 3});
    const Handle h[4] = {open(0), open(1), open(2), open(3)};
    take(0, h[0], Mode::EX);
    for (NodeIndex n = 1; n < 4; ++n) c.core(n).set_demand(h[n], want(Mode::PR));
    c.run(milliseconds(300));
    c.core(0).set_demand(h[0], use(Mode::PR));
    ASSERT_TRUE(c.run_until([&] { return c.client(1).has('g') && c.client(2).has('g') && c.client(3).has('g'); }));
    EXPECT_EQ(c.core(0).held(h[0]), Mode::PR);
}

TEST_P(Nodes, ConversionGoesBeforeANewRequest) {
    c.join_all({0, 1, 2});
    const Handle a = open(0), b = open(1), d = open(2);
    take(0, a, Mode::PR);
    take(1, b, Mode::PR);
    c.core(2).set_demand(d, want(Mode::EX));
    c.run(milliseconds(300));
    Demand up = want(Mode::EX, Mode::PR);
    up.want->convert = true;
    c.client(0).events.clear();
    c.core(0).set_demand(a, up);
    c.run(milliseconds(300));
    c.core(1).set_demand(b, use(Mode::NL));
    ASSERT_TRUE(c.run_until([&] { return c.client(0).has('g'); }));
    EXPECT_FALSE(c.client(2).has('g'));
    c.core(0).set_demand(a, use(Mode::NL));
    ASSERT_TRUE(c.run_until([&] { return c.client(2).has('g'); }));
}

TEST_P(Nodes, WithdrawnWaiterLeavesNoMark) {
    c.join_all({0, 1});
    const Handle a = open(0), b = open(1);
    take(0, a, Mode::PR);
    c.core(1).set_demand(b, want(Mode::EX));
    ASSERT_TRUE(c.run_until([&] { return c.client(0).has('b'); }));
    c.core(1).set_demand(b, use(Mode::NL));
    ASSERT_TRUE(c.run_until([&] { return c.client(0).last('b').mode == Mode::NL; }));
}

TEST_P(Nodes, DeadHolderIsReplacedWithinTheBoundAndItsValueIsSuspect) {
    c.join_all({0, 1});
    const Handle a = open(0), b = open(1);
    take(0, a, Mode::EX);
    c.core(0).write_lvb(a, value("old"), true);
    c.core(0).set_demand(a, use(Mode::NL));
    take(1, b, Mode::EX);
    EXPECT_EQ(shown(c.client(1).last('g').lvb), "old");
    c.core(1).set_demand(b, use(Mode::NL));
    take(0, a, Mode::EX);
    const Instant killed = c.now();
    c.kill(0);
    take(1, b, Mode::PR);
    EXPECT_LE(c.now() - killed, c.timing.failover_bound());
    EXPECT_GE(c.now() - killed, c.timing.lease);
    EXPECT_FALSE(c.client(1).last('g').lvb.valid);
    c.core(1).set_demand(b, use(Mode::NL));
    take(1, b, Mode::EX);
    c.core(1).write_lvb(b, value("new"), true);
    c.core(1).set_demand(b, use(Mode::NL));
    take(1, b, Mode::PR);
    EXPECT_TRUE(c.client(1).last('g').lvb.valid);
    EXPECT_EQ(shown(c.client(1).last('g').lvb), "new");
}

TEST_P(Nodes, DeadReaderOrWaiterCostsNoValue) {
    c.join_all({0, 1, 2});
    const Handle a = open(0), b = open(1), d = open(2);
    take(0, a, Mode::EX);
    c.core(0).write_lvb(a, value("kept"), true);
    c.core(0).set_demand(a, use(Mode::PR));
    take(1, b, Mode::PR);
    c.core(2).set_demand(d, want(Mode::EX));                   // waits, first in the line, flag up
    c.run(milliseconds(1000));
    c.kill(0);                                                 // reader that carries the value
    c.kill(2);                                                 // waiter
    ASSERT_TRUE(c.run_until([&] { return c.client(1).has('b') && c.client(1).last('b').mode == Mode::NL; }));
    c.core(1).set_demand(b, use(Mode::NL));
    take(1, b, Mode::PR);
    EXPECT_TRUE(c.client(1).last('g').lvb.valid);
    EXPECT_EQ(shown(c.client(1).last('g').lvb), "kept");
}

TEST_P(Nodes, ValueOutlivesTheLeaverWhoCarriesIt) {
    c.join_all({0, 1});
    const Handle a = open(0), b = open(1);
    c.core(1).set_demand(b, use(Mode::NL));                    // interest only
    take(0, a, Mode::EX);
    c.core(0).write_lvb(a, value("legacy"), true);
    c.run(milliseconds(600));
    c.core(0).leave(c.now());
    ASSERT_TRUE(c.run_until([&] { return c.core(0).status(c.now()).state == NodeState::left; }));
    take(1, b, Mode::PR);
    EXPECT_EQ(shown(c.client(1).last('g').lvb), "legacy");
    EXPECT_TRUE(c.client(1).last('g').lvb.valid);
}

TEST_P(Nodes, PausedNodeLosesItsLeaseBeforeAnythingElse) {
    c.join_all({0, 1});
    const Handle a = open(0), b = open(1);
    take(0, a, Mode::EX);
    c.nodes[0].frozen = true;
    take(1, b, Mode::EX);
    c.nodes[0].frozen = false;
    c.client(0).events.clear();
    c.run(milliseconds(10));
    ASSERT_FALSE(c.client(0).events.empty());
    EXPECT_EQ(c.client(0).events.front().kind, 'l');
    EXPECT_EQ(c.core(0).held(a), Mode::NL);
    EXPECT_EQ(c.core(0).open({"ls", "other"}).error().code, Errc::fenced);
    c.run(milliseconds(20'000));
    EXPECT_EQ(c.core(1).held(b), Mode::EX);
}

TEST_P(Nodes, PauseShorterThanTheLeaseCostsOnlyTime) {
    c.join_all({0, 1});
    const Handle a = open(0), b = open(1);
    take(0, a, Mode::EX);
    c.core(1).set_demand(b, want(Mode::EX));
    c.nodes[0].frozen = true;
    c.run(c.timing.lease - milliseconds(1000));
    c.nodes[0].frozen = false;
    c.run(milliseconds(3000));
    EXPECT_TRUE(c.live(0));
    EXPECT_EQ(c.core(0).held(a), Mode::EX);
    EXPECT_FALSE(c.client(1).has('g'));
}

TEST_P(Nodes, ATakenNumberIsRefusedByName) {
    c.join_all({0, 1});
    MemoryCluster::Node& second = c.nodes[7];
    Identity id;
    id.requested = NodeIndex{0};
    id.host.bytes[0] = 99;
    id.nonce_seed = 5;
    second.core = std::make_unique<NodeCore>(c.superblock, c.timing, id);
    second.core->start(c.now());
    ASSERT_TRUE(c.run_until([&] { return second.core->status(c.now()).state == NodeState::failed; }));
    const auto* failed = std::get_if<JoinFailed>(&second.events.back());
    ASSERT_NE(failed, nullptr);
    EXPECT_EQ(failed->error.code, Errc::busy);
    EXPECT_NE(failed->message.find("slot 0 is taken"), std::string::npos) << failed->message;
    EXPECT_TRUE(c.live(0));
}

TEST_P(Nodes, TwoClaimersOfOneFreeSlotMakeOneNode) {
    c.start(0);
    MemoryCluster::Node& second = c.nodes[7];
    Identity id;
    id.requested = NodeIndex{0};
    id.host.bytes[0] = 99;
    id.nonce_seed = 5;
    second.core = std::make_unique<NodeCore>(c.superblock, c.timing, id);
    second.core->start(c.now());
    c.run(milliseconds(5000));
    const auto one = c.core(0).status(c.now()).state, two = second.core->status(c.now()).state;
    EXPECT_TRUE((one == NodeState::live) != (two == NodeState::live)) << text(one) << " " << text(two);
}

TEST_P(Nodes, AnOverwrittenSlotIsDefended) {
    c.join_all({0, 1});
    const Handle a = open(0), b = open(1);
    take(0, a, Mode::EX);
    const std::uint64_t offset = c.superblock.geometry.slot_offset(0);
    std::fill_n(c.bytes.begin() + static_cast<std::ptrdiff_t>(offset), c.superblock.geometry.block_bytes,
                std::byte{0x5a});
    c.core(1).set_demand(b, want(Mode::EX));
    c.run(milliseconds(15'000));
    EXPECT_TRUE(c.live(0));
    EXPECT_FALSE(c.client(1).has('g'));
    EXPECT_GE(c.core(0).status(c.now()).counters.defended, 1U);
    c.core(0).set_demand(a, use(Mode::NL));
    EXPECT_TRUE(c.run_until([&] { return c.client(1).has('g'); }));
}

TEST_P(Nodes, AFullAreaIsAnErrorTheCallerSees) {
    c.join_all({0, 1});
    Result<Handle> last = Handle{0};
    int opened = 0;
    for (; opened < 10'000; ++opened) {
        last = c.core(0).open({"ls", "resource-with-a-rather-long-name-" + std::to_string(opened)});
        if (!last) break;
        c.core(0).set_demand(*last, want(Mode::EX));
    }
    ASSERT_FALSE(last);
    EXPECT_EQ(last.error().code, Errc::no_space);
    EXPECT_GT(opened, 100);
    c.client(0).events.clear();
    ASSERT_TRUE(c.run_until([&] { return static_cast<int>(c.client(0).events.size()) >= opened; }));
    EXPECT_FALSE(c.client(0).has('r'));
}

TEST_P(Nodes, LeaveIsSeenAtOnce) {
    c.join_all({0, 1});
    const Handle a = open(0), b = open(1);
    take(0, a, Mode::EX);
    c.core(0).leave(c.now());
    ASSERT_TRUE(c.run_until([&] { return c.core(0).status(c.now()).state == NodeState::left; }, milliseconds(2000)));
    const Instant left = c.now();
    take(1, b, Mode::EX);
    EXPECT_LE(c.now() - left, milliseconds(100));
    c.start(0);                                                // the same host comes back at once
    ASSERT_TRUE(c.run_until([&] { return c.live(0); }, milliseconds(2000)));
}

// A want that takes part in the deadlock search.
Demand searching(Mode mode, Mode used = Mode::NL) {
    Demand d = want(mode, used);
    d.want->owner_tag = 1;
    return d;
}

TEST_P(Nodes, ACycleOfTwoNodesIsBrokenByTheYoungest) {
    c.join_all({0, 1});
    const Handle a0 = open(0, "a"), b0 = open(0, "b"), a1 = open(1, "a"), b1 = open(1, "b");
    take(0, a0, Mode::EX);
    take(1, b1, Mode::EX);
    // Node 0 holds a and wants b; node 1 holds b and wants a, a moment later.
    Demand holds_a = use(Mode::EX), holds_b = use(Mode::EX);
    holds_a.waits_on[0] = b0;
    holds_b.waits_on[0] = a1;
    c.core(0).set_demand(a0, holds_a);
    c.core(0).set_demand(b0, searching(Mode::EX));
    c.run(milliseconds(20));
    c.core(1).set_demand(b1, holds_b);
    c.core(1).set_demand(a1, searching(Mode::EX));
    c.client(0).events.clear();
    c.client(1).events.clear();
    const Instant begun = c.now();
    ASSERT_TRUE(c.run_until([&] { return c.client(1).has('r'); }, c.timing.heartbeat * 2))
        << "the youngest was not refused";
    EXPECT_LE(c.now() - begun, c.timing.heartbeat * 2);
    EXPECT_FALSE(c.client(0).has('r'));
    EXPECT_FALSE(c.client(0).has('g'));
    c.core(1).set_demand(b1, use(Mode::NL));
    ASSERT_TRUE(c.run_until([&] { return c.client(0).has('g'); }));
}

TEST_P(Nodes, ACycleOfThreeNodesIsBrokenOnceAndASparedWantIsNoVictim) {
    c.join_all({0, 1, 2});
    std::vector<Handle> held, wanted;
    for (NodeIndex n = 0; n < 3; ++n) {
        held.push_back(open(n, "r" + std::to_string(n)));
        wanted.push_back(open(n, "r" + std::to_string((n + 1) % 3)));
        take(n, held[n], Mode::EX);
    }
    for (NodeIndex n = 0; n < 3; ++n) {
        Demand holds = use(Mode::EX);
        holds.waits_on[0] = wanted[n];
        Demand wants = searching(Mode::PR);
        wants.want->spared = n == 2;                           // the youngest
        c.client(n).events.clear();
        c.core(n).set_demand(held[n], holds);
        c.core(n).set_demand(wanted[n], wants);
        c.run(milliseconds(20));
    }
    ASSERT_TRUE(c.run_until([&] { return c.client(1).has('r'); }, c.timing.heartbeat * 2));
    c.run(c.timing.heartbeat * 4);
    EXPECT_FALSE(c.client(0).has('r'));
    EXPECT_FALSE(c.client(2).has('r'));
}

TEST_P(Nodes, WaitingWithoutACycleIsNoDeadlock) {
    c.join_all({0, 1});
    const Handle a0 = open(0, "a"), b0 = open(0, "b"), a1 = open(1, "a"), b1 = open(1, "b");
    take(0, a0, Mode::EX);
    take(1, b1, Mode::EX);
    Demand holds_a = use(Mode::EX);
    holds_a.waits_on[0] = b0;
    c.core(0).set_demand(a0, holds_a);
    c.core(0).set_demand(b0, searching(Mode::EX));
    c.core(1).set_demand(a1, searching(Mode::EX));             // another owner than the holder of b
    c.client(0).events.clear();
    c.client(1).events.clear();
    c.run(c.timing.heartbeat * 6);
    EXPECT_FALSE(c.client(0).has('r'));
    EXPECT_FALSE(c.client(1).has('r'));
}

TEST_P(Nodes, AJoinerWaitsForTheEndOfWhoeverDoesNotAnswer) {
    c.join_all({0, 1});
    const Handle a = open(0), b = open(1);
    c.core(0).set_demand(a, use(Mode::NL));
    take(1, b, Mode::EX);
    c.core(1).write_lvb(b, value("new"), true);
    c.core(1).set_demand(b, use(Mode::NL));
    c.run(milliseconds(700));
    c.nodes[0].frozen = true;                                  // dead, but nobody knows it yet
    const Instant frozen = c.now();
    c.start(2);
    ASSERT_TRUE(c.run_until([&] { return c.live(2); }));
    EXPECT_GE(c.now() - frozen, c.timing.lease);
}

TEST_P(Nodes, ALeftSlotStillTellsOfTheDeathsThatItsNodeKnew) {
    c.join_all({0, 1});
    c.kill(0);
    ASSERT_TRUE(c.run_until([&] { return c.core(1).status(c.now()).counters.evictions == 1; }));
    c.core(1).leave(c.now());
    ASSERT_TRUE(c.run_until([&] { return c.core(1).status(c.now()).state == NodeState::left; }));
    const Instant left = c.now();
    c.start(2);                                                // need not watch the dead node's slot itself
    ASSERT_TRUE(c.run_until([&] { return c.live(2); }));
    EXPECT_LT(c.now() - left, c.timing.dead());
}

// The write that turns a claim live takes long; meanwhile another slot's new life asks everybody who is live, and that
// is nobody. A late image of its old life then hides it: both would take EX.
TEST_P(Nodes, ALifeThatBeganLateLooksAgain) {
    c.join_all({1});
    c.run(milliseconds(1000));
    c.start(0);
    c.nodes[0].slow_live = milliseconds(4000);
    ASSERT_TRUE(c.run_until([&] { return c.nodes[0].fail_reads; }));
    c.nodes[1].hold_writes = true;
    ASSERT_TRUE(c.run_until([&] { return !c.held.empty(); }));
    c.kill(1);                                                 // one of its slot writes is still out
    c.nodes[1].hold_writes = false;
    c.start(1);
    ASSERT_TRUE(c.run_until([&] { return c.live(1); }));
    ASSERT_TRUE(c.core(1).join("ls", c.client(1)));
    const Handle b = open(1);
    take(1, b, Mode::EX);
    c.run(milliseconds(4000));
    EXPECT_FALSE(c.live(0)) << "went live on a read from before the other life";
    c.land_held();
    c.nodes[1].frozen = true;
    c.nodes[0].fail_reads = false;
    c.run_until([&] { return c.live(0); }, milliseconds(1000));
    c.nodes[1].frozen = false;
    ASSERT_TRUE(c.run_until([&] { return c.live(0); }));
    ASSERT_TRUE(c.core(0).join("ls", c.client(0)));
    const Handle a = open(0);
    c.core(0).set_demand(a, want(Mode::EX));
    c.run(milliseconds(2000));
    EXPECT_FALSE(c.client(0).has('g') && c.core(1).held(b) == Mode::EX);
}

TEST_P(Nodes, ATrylockIsNoPartOfAConversionDeadlock) {
    for (NodeIndex trying : {NodeIndex{0}, NodeIndex{1}}) {
        MemoryCluster fresh{GetParam()};
        fresh.join_all({0, 1});
        std::vector<Handle> handles;
        for (NodeIndex n = 0; n < 2; ++n) {
            handles.push_back(fresh.core(n).open({"ls", "r"}).value());
            fresh.core(n).set_demand(handles[n], want(Mode::PR));
        }
        ASSERT_TRUE(fresh.run_until([&] { return fresh.client(0).has('g') && fresh.client(1).has('g'); }));
        fresh.run(milliseconds(700));
        Demand attempt = trylock(Mode::EX), waiting = want(Mode::EX, Mode::PR);
        attempt.used = Mode::PR;
        attempt.want->convert = waiting.want->convert = true;
        fresh.core(trying).set_demand(handles[trying], attempt);
        fresh.core(1 - trying).set_demand(handles[1 - trying], waiting);
        ASSERT_TRUE(fresh.run_until([&] { return fresh.client(trying).has('r'); }));
        fresh.run(fresh.timing.heartbeat * 4);
        EXPECT_FALSE(fresh.client(1 - trying).has('r'));
    }
}

}  // namespace
}  // namespace sdlm::node
