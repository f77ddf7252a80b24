// SPDX-License-Identifier: LGPL-2.1-or-later
// A disk that does not answer: for less than the lease nothing happens, for longer the node is out and knows it first.
#include <cstdio>

#include "contending_nodes.hpp"
#include "disk/io/reactor.hpp"

namespace sdlm {
namespace {

class Hang : public ContendingNodes {
protected:
    // ... and node 1 holds `other`.
    void take_locks() {
        other_ = std::make_unique<LockUser>(file(1, "other"));
        ASSERT_TRUE(other_->wait_granted());
        contend();
    }
    void expect_nothing_happened() {
        EXPECT_TRUE(other_->healthy());
        expect_all_is_well();
        EXPECT_TRUE(waiter_->healthy() && other_->healthy());
    }
    std::unique_ptr<LockUser> other_;
};

INSTANTIATE_TEST_SUITE_P(Trouble, Hang, testing::Values(View::file, View::loop), view_name);

// A loop device has one queue: a read that hangs holds up the writes behind it.
class HangOfReads : public Hang {};
INSTANTIATE_TEST_SUITE_P(Trouble, HangOfReads, testing::Values(View::file), view_name);

constexpr unsigned short_hang_ms = lease_ms * 7 / 10;

TEST_P(Hang, OfOneNodeShorterThanTheLeaseCostsOnlyTime) {
    ASSERT_NO_FATAL_FAILURE(take_locks());
    const unsigned rule = disk(0).inject("hang");
    pass_ms(short_hang_ms);
    EXPECT_GT(disk(0).count("hung"), 0U);
    disk(0).clear(rule);
    expect_nothing_happened();
}

TEST_P(Hang, OfAllNodesShorterThanTheLeaseCostsOnlyTime) {
    ASSERT_NO_FATAL_FAILURE(take_locks());
    for (const unsigned node : {0U, 1U}) disk(node).inject("hang");
    pass_ms(short_hang_ms);
    for (const unsigned node : {0U, 1U}) {
        EXPECT_GT(disk(node).count("hung"), 0U);
        disk(node).clear();
    }
    expect_nothing_happened();
}

// Who cannot read for longer than it takes to find somebody dead has no reason to think so.
TEST_P(HangOfReads, EvictsNobody) {
    ASSERT_NO_FATAL_FAILURE(take_locks());
    disk(1).inject("hang on=reads");
    pass_ms(bound_ms(0));
    EXPECT_GT(disk(1).count("hung"), 0U);
    disk(1).clear();
    expect_nothing_happened();
}

TEST_P(Hang, OfOneNodeLongerThanTheLeaseEndsIt) {
    ASSERT_NO_FATAL_FAILURE(take_locks());
    const unsigned bound = bound_ms(1);
    const std::int64_t begin = disk::boottime_now().ns;
    disk(0).inject("hang");
    EXPECT_TRUE(holder_->wait_told());
    EXPECT_TRUE(wait_lost(0));
    ASSERT_TRUE(waiter_->wait_granted());
    EXPECT_LT(holder_->told_ns(), waiter_->granted_ns());
    const std::int64_t took_ms = (waiter_->granted_ns() - begin) / 1'000'000;
    std::printf("granted elsewhere after %ld ms, bound %u ms\n", static_cast<long>(took_ms), bound);
    EXPECT_LE(took_ms, bound);
    EXPECT_EQ(counter(1, "evictions"), 1U);
    // What hung lands now, and revives nothing.
    disk(0).clear();
    EXPECT_TRUE(works(1));
    EXPECT_TRUE(waiter_->healthy() && other_->healthy());
    EXPECT_FALSE(LockUser(file(0, "contended")).wait_granted());
    stop(0);
    ASSERT_NO_FATAL_FAILURE(start(0));
    LockUser back(file(0, "contended"));
    EXPECT_TRUE(waiter_->wait_blocked());
    waiter_->release();
    EXPECT_TRUE(back.wait_granted());
}

TEST_P(Hang, OfAllNodesLongerThanTheLeaseEndsAll) {
    ASSERT_NO_FATAL_FAILURE(take_locks());
    for (const unsigned node : {0U, 1U}) disk(node).inject("hang");
    EXPECT_TRUE(holder_->wait_told() && other_->wait_told());
    EXPECT_TRUE(wait_lost(0) && wait_lost(1));
    EXPECT_FALSE(waiter_->wait_granted());
    for (const unsigned node : {0U, 1U}) {
        disk(node).clear();
        EXPECT_FALSE(LockUser(file(node, "new")).wait_granted());
        stop(node);
    }
    for (const unsigned node : {0U, 1U}) ASSERT_NO_FATAL_FAILURE(start(node));
    LockUser again(file(0, "contended"));
    ASSERT_TRUE(again.wait_granted());
    LockUser next(file(1, "contended"));
    EXPECT_TRUE(again.wait_blocked());
    again.release();
    EXPECT_TRUE(next.wait_granted());
}

// The write of a dead daemon lands after its life was declared over.
TEST_P(Hang, AWriteThatOutlivesItsDaemonChangesNothing) {
    ASSERT_NO_FATAL_FAILURE(take_locks());
    disk(0).inject("hang on=writes");
    EXPECT_TRUE(wait_hung(0));
    kill(0);
    ASSERT_TRUE(waiter_->wait_granted());
    disk(0).clear();
    EXPECT_TRUE(wait_counter(1, "zombie_images"));
    EXPECT_TRUE(works(1));
    EXPECT_TRUE(waiter_->healthy() && other_->healthy());
    ASSERT_NO_FATAL_FAILURE(start(0));
    EXPECT_TRUE(works(0));
}

}  // namespace
}  // namespace sdlm
