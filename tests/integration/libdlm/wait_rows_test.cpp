// SPDX-License-Identifier: LGPL-2.1-or-later
// SEMANTICS 5, OBSERVED 21-23: the waiting calls of both libraries.
#include <signal.h>
#include <sys/time.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "tests/integration/libdlm/nodes.hpp"
#include "tests/integration/libdlm/program.hpp"

namespace sdlm {
namespace {

class WaitRows : public NodesWithLockspace {
protected:
    static int lock_wait(const Api& api, dlm_lshandle_t ls, struct dlm_lksb& lksb, int mode, unsigned flags) {
        return api.lock_wait(ls, static_cast<unsigned>(mode), &lksb, flags, "resource", 8, 0, nullptr, nullptr,
                             nullptr);
    }
};

TEST_F(WaitRows, ThreadedLibraryReturnsZeroForAFailedLock) {
    struct dlm_lksb first {}, second {};
    EXPECT_EQ(lock_wait(threaded(), ls_, first, LKM_EXMODE, 0), 0);
    EXPECT_EQ(first.sb_status, 0);
    EXPECT_EQ(lock_wait(threaded(), ls_, second, LKM_EXMODE, LKF_NOQUEUE), 0);
    EXPECT_EQ(second.sb_status, EAGAIN);
    EXPECT_EQ(lock_wait(threaded(), ls_, second, 9, 0), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(threaded().unlock_wait(ls_, first.sb_lkid, 0, &first), 0);
    EXPECT_EQ(first.sb_status, EUNLOCK);
    EXPECT_EQ(threaded().unlock_wait(ls_, first.sb_lkid, 0, &first), -1);
    EXPECT_EQ(errno, ENOENT);
}

TEST_F(WaitRows, LightLibraryTellsByErrno) {
    dlm_lshandle_t ls = light().open("rows");
    ASSERT_NE(ls, nullptr);
    struct dlm_lksb first {}, second {};
    errno = 1;
    EXPECT_EQ(lock_wait(light(), ls, first, LKM_EXMODE, 0), 0);
    EXPECT_EQ(errno, 0);
    EXPECT_EQ(lock_wait(light(), ls, second, LKM_EXMODE, LKF_NOQUEUE), -1);
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_EQ(second.sb_status, EAGAIN);
    EXPECT_EQ(light().unlock_wait(ls, first.sb_lkid, 0, &first), 0);
    EXPECT_EQ(errno, EUNLOCK);
    EXPECT_EQ(light().pthread_init, nullptr);
    EXPECT_EQ(light().close(ls), 0);
}

// Other locks' callbacks run inside the caller of a waiting call.
TEST_F(WaitRows, TheCallerDispatchesForOthers) {
    Held other;
    ASSERT_EQ(lock(ls_, other, LKM_EXMODE, 0, "other"), 0);
    struct dlm_lksb lksb {};
    EXPECT_EQ(lock_wait(threaded(), ls_, lksb, LKM_EXMODE, 0), 0);
    EXPECT_EQ(other.asts, 1U);
    EXPECT_FALSE(readable(ls_));
}

TEST_F(WaitRows, UnlockWaitOfAnAsynchronousLockCallsNobody) {
    Held held;
    ASSERT_EQ(status_of(ls_, held, LKM_EXMODE, 0), 0);
    EXPECT_EQ(threaded().unlock_wait(ls_, held.lksb.sb_lkid, 0, &held.lksb), 0);
    EXPECT_EQ(held.lksb.sb_status, EUNLOCK);
    EXPECT_EQ(held.asts, 1U);
    // And an asynchronous unlock of a lock that a waiting call made has no routine to call.
    struct dlm_lksb lksb {};
    EXPECT_EQ(lock_wait(threaded(), ls_, lksb, LKM_EXMODE, 0), 0);
    EXPECT_EQ(threaded().unlock(ls_, lksb.sb_lkid, 0, &lksb, &lksb), 0);
    EXPECT_TRUE(until(ls_, [&] { return lksb.sb_status == EUNLOCK; }));
}

TEST_F(WaitRows, BlockingNoticesOfWaitedLocksGetTheirArgument) {
    Held held, waiter;
    ASSERT_EQ(threaded().lock_wait(ls_, LKM_EXMODE, &held.lksb, 0, "resource", 8, 0, &held, Held::bast, nullptr), 0);
    ASSERT_EQ(lock(ls_, waiter, LKM_PRMODE, 0), 0);
    EXPECT_TRUE(until(ls_, [&] { return held.basts == 1; }));
    EXPECT_EQ(held.asts, 0U);
    EXPECT_EQ(threaded().unlock_wait(ls_, held.lksb.sb_lkid, 0, &held.lksb), 0);
    EXPECT_TRUE(until(ls_, [&] { return waiter.asts == 1; }));
}

TEST_F(WaitRows, WaitFlag) {
    struct dlm_lksb lksb {}, second {};
    EXPECT_EQ(threaded().lockx(ls_, LKM_EXMODE, &lksb, LKF_WAIT, "resource", 8, 0, nullptr, nullptr, nullptr, nullptr,
                               nullptr), 0);
    EXPECT_EQ(lksb.sb_status, 0);
    EXPECT_EQ(threaded().lock(ls_, LKM_EXMODE, &second, LKF_WAIT | LKF_NOQUEUE, "resource", 8, 0, nullptr, nullptr,
                              nullptr, nullptr), 0);
    EXPECT_EQ(second.sb_status, EAGAIN);
    EXPECT_EQ(threaded().lock(ls_, LKM_PRMODE, &lksb, LKF_WAIT | LKF_CONVERT, nullptr, 0, 0, nullptr, nullptr, nullptr,
                              nullptr), 0);
    EXPECT_EQ(lksb.sb_status, 0);
}

TEST_F(WaitRows, CancelOfAnotherThreadsWait) {
    struct dlm_lksb holder {}, waiter {}, idle {};
    ASSERT_EQ(lock_wait(threaded(), ls_, holder, LKM_EXMODE, 0), 0);
    std::thread waiting([&] { EXPECT_EQ(lock_wait(threaded(), ls_, waiter, LKM_EXMODE, 0), 0); });
    while (count("locks") != 2) std::this_thread::yield();
    struct dlm_lksb cancel {};
    EXPECT_EQ(threaded().unlock_wait(ls_, waiter.sb_lkid, LKF_CANCEL, &cancel), 0);
    EXPECT_EQ(cancel.sb_status, ECANCEL);
    waiting.join();
    EXPECT_EQ(waiter.sb_status, ECANCEL);
    // Of an idle lock: at once, with its present state.
    EXPECT_EQ(threaded().unlock_wait(ls_, holder.sb_lkid, LKF_CANCEL, &idle), 0);
    EXPECT_EQ(idle.sb_status, 0);
}

TEST_F(WaitRows, CancelOfAnAsynchronousRequest) {
    Held holder, waiter;
    ASSERT_EQ(status_of(ls_, holder, LKM_EXMODE, 0), 0);
    ASSERT_EQ(lock(ls_, waiter, LKM_EXMODE, 0), 0);
    struct dlm_lksb cancel {};
    EXPECT_EQ(threaded().unlock_wait(ls_, waiter.lksb.sb_lkid, LKF_CANCEL, &cancel), 0);
    EXPECT_TRUE(until(ls_, [&] { return waiter.asts == 1; })) << "its own routine is told";
    EXPECT_EQ(waiter.lksb.sb_status, ECANCEL);
    dlm_lshandle_t ls = light().open("rows");
    struct dlm_lksb lksb {};
    ASSERT_EQ(light().lock(ls, LKM_EXMODE, &lksb, 0, "resource", 8, 0, Held::ast, &waiter, nullptr, nullptr), 0);
    EXPECT_EQ(light().unlock_wait(ls, lksb.sb_lkid, LKF_CANCEL, &cancel), -1);
    EXPECT_EQ(errno, ECANCEL);
    EXPECT_EQ(light().close(ls), 0);
}

void nothing(int) {}

TEST_F(WaitRows, SignalsDoNotEndAWait) {
    struct dlm_lksb holder {};
    ASSERT_EQ(lock_wait(threaded(), ls_, holder, LKM_EXMODE, 0), 0);
    Signal ready;
    Program waiter([&] {
        struct sigaction action {};
        action.sa_handler = nothing;                       // no SA_RESTART
        ::sigaction(SIGALRM, &action, nullptr);
        ::alarm(0);
        dlm_lshandle_t own = light().open("rows");
        const itimerval often{{0, 2000}, {0, 2000}};
        ::setitimer(ITIMER_REAL, &often, nullptr);
        ready.give();
        struct dlm_lksb lksb {};
        if (lock_wait(light(), own, lksb, LKM_EXMODE, 0) != 0) return 1;
        return light().unlock_wait(own, lksb.sb_lkid, 0, &lksb) == 0 ? 0 : 2;
    });
    ASSERT_TRUE(ready.take());
    while (count("locks") != 2) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));    // some signals fall into the wait
    EXPECT_EQ(threaded().unlock_wait(ls_, holder.sb_lkid, 0, &holder), 0);
    EXPECT_EQ(waiter.wait(), 0);
}

// In processes of their own: the default lockspace is one per process.
TEST_F(WaitRows, LockResource) {
    Program program([] {
        errno = 0;
        if (threaded().unlock_resource(1) != -1 || errno != -ENOTCONN) return 1;
        if (threaded().lock_resource("r", LKM_EXMODE, 0, nullptr) != -1 || errno != EINVAL) return 2;
        int id = 0, refused = 0;
        if (threaded().lock_resource("r", LKM_EXMODE, 0, &id) != 0 || id <= 0 || errno != 0) return 3;
        if (threaded().lock_resource("r", LKM_EXMODE, LKF_NOQUEUE, &refused) != -1 || errno != EAGAIN) return 4;
        if (refused <= 0 || refused == id) return 5;
        if (threaded().lock_resource("r", LKM_PRMODE, LKF_CONVERT, &id) != 0) return 6;
        if (threaded().unlock_resource(refused) != -1 || errno != ENOENT) return 7;
        if (threaded().unlock_resource(id) != 0 || errno != EUNLOCK) return 8;
        if (threaded().pthread_init() != -1 || errno != EEXIST) return 9;
        if (threaded().pthread_cleanup() != 0 || threaded().pthread_cleanup() != 0) return 10;
        return threaded().unlock_resource(id) == -1 && errno == -ENOTCONN ? 0 : 11;
    });
    EXPECT_EQ(program.wait(), 0);
}

}  // namespace
}  // namespace sdlm
