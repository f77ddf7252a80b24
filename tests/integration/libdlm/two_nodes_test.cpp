// SPDX-License-Identifier: LGPL-2.1-or-later
// Two daemons on one volume, as two programs see them; and the end of a node.
#include <poll.h>
#include <signal.h>

#include <cerrno>
#include <cstring>

#include "tests/integration/libdlm/nodes.hpp"

namespace sdlm {
namespace {

class TwoNodes : public Nodes {
protected:
    TwoNodes() { lease_ms_ = 3000; }
    void SetUp() override {
        Nodes::SetUp();
        if (IsSkipped()) return;
        start(1);
        a_ = create();
        use(1);
        b_ = create();
    }
    void TearDown() override {
        for (dlm_lshandle_t ls : {a_, b_})
            if (ls != nullptr) threaded().release("rows", ls, 1);
        Nodes::TearDown();
    }
    dlm_lshandle_t a_ = nullptr, b_ = nullptr;
};

TEST_F(TwoNodes, ExclusionNoticesAndValuesAcross) {
    Held a, b;
    ASSERT_EQ(status_of(a_, a, LKM_EXMODE, LKF_VALBLK), 0);
    EXPECT_EQ(status_of(b_, b, LKM_EXMODE, LKF_NOQUEUE), EAGAIN);
    ASSERT_EQ(lock(b_, b, LKM_EXMODE, LKF_VALBLK), 0);
    ASSERT_TRUE(until(a_, [&] { return a.basts == 1; }));
    EXPECT_EQ(b.asts, 1U) << "the refusal only";
    std::strcpy(a.lvb, "from a");
    ASSERT_EQ(convert_status(a_, a, LKM_NLMODE, LKF_VALBLK), 0);
    ASSERT_TRUE(until(b_, [&] { return b.asts == 2; }));
    EXPECT_EQ(b.lksb.sb_status, 0);
    EXPECT_EQ(b.lksb.sb_flags, 0);
    EXPECT_STREQ(b.lvb, "from a");
}

// What a node only caches is given up for another's NOQUEUE.
TEST_F(TwoNodes, NoqueueIsNotRefusedForACachedMode) {
    Held a, b;
    ASSERT_EQ(status_of(a_, a, LKM_EXMODE, 0), 0);
    ASSERT_EQ(unlock_status(a_, a), EUNLOCK);
    EXPECT_EQ(status_of(b_, b, LKM_EXMODE, LKF_NOQUEUE), 0);
}

TEST_F(TwoNodes, OrphansBelongToTheirNode) {
    use(0);
    dlm_lshandle_t ending = threaded().open("rows");
    Held orphan, other;
    ASSERT_EQ(status_of(ending, orphan, LKM_EXMODE, LKF_PERSISTENT), 0);
    ASSERT_EQ(threaded().close(ending), 0);
    EXPECT_EQ(status_of(b_, other, LKM_PRMODE, LKF_NOQUEUE), EAGAIN) << "it blocks other nodes";
    EXPECT_EQ(lock(b_, other, LKM_EXMODE, LKF_ORPHAN), ENOENT) << "and is not theirs";
    EXPECT_EQ(threaded().purge(b_, 0, 0), 0);
    EXPECT_EQ(count("locks", 0), 1U);
    EXPECT_EQ(lock(a_, orphan, LKM_EXMODE, LKF_ORPHAN), 0);
    EXPECT_EQ(unlock_status(a_, orphan), EUNLOCK);
    EXPECT_EQ(status_of(b_, other, LKM_PRMODE, 0), 0);
}

TEST_F(TwoNodes, WaitingCallsCrossNodes) {
    constexpr int rounds = 20;
    for (int i = 0; i < rounds; ++i) {
        for (dlm_lshandle_t ls : {a_, b_}) {
            struct dlm_lksb lksb {};
            ASSERT_EQ(threaded().lock_wait(ls, LKM_EXMODE, &lksb, 0, "turns", 5, 0, nullptr, nullptr, nullptr), 0);
            ASSERT_EQ(lksb.sb_status, 0);
            ASSERT_EQ(threaded().unlock_wait(ls, lksb.sb_lkid, 0, &lksb), 0);
        }
    }
}

TEST_F(TwoNodes, AKilledDaemonEndsItsClientsAndFreesItsLocks) {
    Held a, waiting, b;
    ASSERT_EQ(status_of(a_, a, LKM_EXMODE, 0), 0);
    ASSERT_EQ(lock(a_, waiting, LKM_PRMODE, 0), 0);
    ASSERT_EQ(lock(b_, b, LKM_EXMODE, 0), 0);
    daemon(0).kill(SIGKILL);
    daemon(0).wait();
    // Its client: readable, then every pending operation ends, then every call fails.
    ASSERT_TRUE(until(a_, [&] { return waiting.asts == 1; }));
    EXPECT_EQ(waiting.lksb.sb_status, EIO);
    EXPECT_EQ(threaded().dispatch(threaded().get_fd(a_)), -1);
    EXPECT_EQ(errno, ENOTCONN);
    Held more;
    EXPECT_EQ(lock(a_, more, LKM_NLMODE, 0), ENOTCONN);
    EXPECT_EQ(unlock(a_, a), ENOTCONN);
    struct dlm_lksb lksb {};
    EXPECT_EQ(threaded().lock_wait(a_, LKM_NLMODE, &lksb, 0, "x", 1, 0, nullptr, nullptr, nullptr), -1);
    EXPECT_EQ(errno, ENOTCONN);
    // The other node gets the lock after the lease.
    EXPECT_TRUE(until(b_, [&] { return b.asts == 1; }));
    EXPECT_EQ(b.lksb.sb_status, 0);
    EXPECT_EQ(threaded().close(a_), 0);
    a_ = nullptr;
}

TEST_F(TwoNodes, AStoppedNodeLosesItsLeaseAndTellsItsClients) {
    Held a, waiting, b;
    ASSERT_EQ(status_of(a_, a, LKM_EXMODE, 0), 0);
    ASSERT_EQ(lock(a_, waiting, LKM_PRMODE, 0), 0);
    ASSERT_EQ(lock(b_, b, LKM_EXMODE, 0), 0);
    daemon(0).kill(SIGSTOP);
    EXPECT_TRUE(until(b_, [&] { return b.asts == 1; })) << "granted after the lease";
    EXPECT_EQ(b.lksb.sb_status, 0);
    daemon(0).kill(SIGCONT);
    ASSERT_TRUE(until(a_, [&] { return waiting.asts == 1; }));
    EXPECT_EQ(waiting.lksb.sb_status, EIO);
    EXPECT_TRUE(until(a_, [&] { return threaded().dispatch(threaded().get_fd(a_)) == -1; }));
    EXPECT_EQ(unlock(a_, a), ENOTCONN);
    EXPECT_EQ(threaded().close(a_), 0);
    a_ = nullptr;
    daemon(0).wait();
}

TEST_F(TwoNodes, AConversionDeadlockBetweenNodes) {
    Held a, b;
    ASSERT_EQ(status_of(a_, a, LKM_PRMODE, 0), 0);
    ASSERT_EQ(status_of(b_, b, LKM_PRMODE, 0), 0);
    ASSERT_EQ(convert(a_, a, LKM_EXMODE), 0);
    ASSERT_EQ(convert(b_, b, LKM_EXMODE), 0);
    const auto one_ended = [&] {
        threaded().dispatch(threaded().get_fd(a_));
        return a.asts + b.asts == 3;
    };
    ASSERT_TRUE(until(b_, one_ended));
    Held& victim = a.asts == 2 ? a : b;
    Held& winner = a.asts == 2 ? b : a;
    EXPECT_EQ(victim.lksb.sb_status, EDEADLK);
    ASSERT_EQ(unlock_status(&victim == &a ? a_ : b_, victim), EUNLOCK);
    EXPECT_TRUE(until(&winner == &a ? a_ : b_, [&] { return winner.asts == 2; }));
    EXPECT_EQ(winner.lksb.sb_status, 0);
}

}  // namespace
}  // namespace sdlm
