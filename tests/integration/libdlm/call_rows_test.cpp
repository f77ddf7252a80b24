// SPDX-License-Identifier: LGPL-2.1-or-later
// SEMANTICS 3 and 6, OBSERVED 23-35: what calls say, when the lksb changes, unlock and cancel.
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tests/integration/libdlm/nodes.hpp"
#include "tests/integration/libdlm/program.hpp"

namespace sdlm {
namespace {

class CallRows : public NodesWithLockspace {};

TEST_F(CallRows, InProgressUntilDispatched) {
    Held held;
    held.lksb.sb_flags = 42;
    ASSERT_EQ(lock(ls_, held, LKM_EXMODE, 0), 0);
    EXPECT_EQ(held.lksb.sb_status, EINPROG);
    EXPECT_EQ(held.lksb.sb_flags, 42);
    EXPECT_NE(held.lksb.sb_lkid, 0U) << "the id is there before the call returns";
    ASSERT_TRUE(readable(ls_, 20'000));
    EXPECT_EQ(held.lksb.sb_status, EINPROG) << "the lksb changes at dispatch, not before";
    const std::uint32_t id = held.lksb.sb_lkid;
    ASSERT_TRUE(completed(ls_, held));
    EXPECT_EQ(held.lksb.sb_status, 0);
    EXPECT_EQ(held.lksb.sb_lkid, id);
    EXPECT_EQ(held.lksb.sb_flags, 0);
    EXPECT_EQ(convert(ls_, held, LKM_PRMODE), 0);
    EXPECT_EQ(held.lksb.sb_status, EINPROG);
    EXPECT_EQ(held.lksb.sb_lkid, id);
    ASSERT_TRUE(completed(ls_, held));
}

TEST_F(CallRows, NoqueueFailureIsACompletion) {
    Held holder, refused;
    ASSERT_EQ(status_of(ls_, holder, LKM_EXMODE, 0), 0);
    EXPECT_EQ(lock(ls_, refused, LKM_PRMODE, LKF_NOQUEUE), 0);
    EXPECT_NE(refused.lksb.sb_lkid, 0U);
    ASSERT_TRUE(completed(ls_, refused));
    EXPECT_EQ(refused.lksb.sb_status, EAGAIN);
    EXPECT_EQ(unlock(ls_, refused), ENOENT) << "the id is dead";
}

TEST_F(CallRows, FailedCallsLeaveInProgress) {
    struct Row {
        const char* what;
        int mode;
        unsigned flags;
        int error;
    };
    const Row rows[] = {{"mode 6", 6, 0, EINVAL},
                        {"mode 256 + 5", 261, 0, EINVAL},
                        {"cancel", LKM_EXMODE, LKF_CANCEL, EINVAL},
                        {"quecvt without convert", LKM_EXMODE, LKF_QUECVT, EINVAL},
                        {"convdeadlk without convert", LKM_EXMODE, LKF_CONVDEADLK, EINVAL},
                        {"expedite above NL", LKM_CRMODE, LKF_EXPEDITE, EINVAL},
                        {"expedite and noqueue", LKM_NLMODE, LKF_EXPEDITE | LKF_NOQUEUE, EINVAL},
                        {"no orphan", LKM_EXMODE, LKF_ORPHAN, ENOENT}};
    for (const Row& row : rows) {
        Held held;
        EXPECT_EQ(lock(ls_, held, row.mode, row.flags), row.error) << row.what;
        EXPECT_EQ(held.lksb.sb_status, EINPROG) << row.what;
        EXPECT_EQ(held.lksb.sb_lkid, 0U) << row.what;
    }
    Held held;
    EXPECT_EQ(lock(ls_, held, LKM_EXMODE, 0, std::string(65, 'n')), EINVAL);
    held.lksb.sb_lvbptr = nullptr;
    EXPECT_EQ(lock(ls_, held, LKM_EXMODE, LKF_VALBLK), EINVAL);
    EXPECT_EQ(threaded().lockx(ls_, LKM_EXMODE, &held.lksb, LKF_VALBLK, "n", 1, 0, Held::ast, &held, nullptr, nullptr,
                               nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_FALSE(readable(ls_)) << "a failed call has no completion";
    EXPECT_EQ(count("locks"), 0U);
}

TEST_F(CallRows, PointersThatAreNot) {
    Held held;
    const auto lock_with = [&](dlm_lshandle_t ls, struct dlm_lksb* lksb, void (*ast)(void*), void* range) {
        errno = 0;
        return threaded().lock(ls, LKM_EXMODE, lksb, 0, "n", 1, 0, ast, &held, nullptr, range) == 0 ? 0 : errno;
    };
    EXPECT_EQ(lock_with(nullptr, &held.lksb, Held::ast, nullptr), ENOTCONN);
    EXPECT_EQ(lock_with(ls_, nullptr, Held::ast, nullptr), EINVAL);
    EXPECT_EQ(lock_with(ls_, &held.lksb, nullptr, nullptr), EINVAL);
    EXPECT_EQ(lock_with(ls_, &held.lksb, Held::ast, &held), ENOSYS);
    EXPECT_EQ(threaded().unlock(nullptr, 1, 0, &held.lksb, nullptr), -1);
    EXPECT_EQ(errno, ENOTCONN);
    EXPECT_EQ(threaded().unlock(ls_, 1, 0, nullptr, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(threaded().unlock_wait(ls_, 1, 0, nullptr), -1);
    EXPECT_EQ(threaded().lock_wait(ls_, LKM_EXMODE, nullptr, 0, "n", 1, 0, nullptr, nullptr, nullptr), -1);
    EXPECT_EQ(threaded().get_fd(nullptr), -1);
    EXPECT_EQ(threaded().purge(nullptr, 0, 0), -1);
    EXPECT_EQ(threaded().deadlock_cancel(nullptr, 1, 0), -1);
}

// Programs pass 1 where they expect no call: it must never be jumped to.
TEST_F(CallRows, ARoutineThatIsNoAddressIsNotCalled) {
    Held held;
    auto* const one = reinterpret_cast<void (*)(void*)>(1);
    ASSERT_EQ(threaded().lock(ls_, LKM_EXMODE, &held.lksb, 0, "n", 1, 0, one, nullptr, one, nullptr), 0);
    EXPECT_TRUE(until(ls_, [&] { return held.lksb.sb_status == 0; }));
    ASSERT_EQ(threaded().unlock(ls_, held.lksb.sb_lkid, 0, &held.lksb, nullptr), 0);
    EXPECT_TRUE(until(ls_, [&] { return held.lksb.sb_status == EUNLOCK; }));
}

TEST_F(CallRows, ConversionsNameTheLockByItsId) {
    Held held;
    EXPECT_EQ(convert(ls_, held, LKM_EXMODE), ENOENT) << "id 0";
    held.lksb.sb_lkid = 4711;
    EXPECT_EQ(convert(ls_, held, LKM_EXMODE), ENOENT);
    ASSERT_EQ(status_of(ls_, held, LKM_PRMODE, 0), 0);
    EXPECT_EQ(convert(ls_, held, LKM_NLMODE, LKF_QUECVT), EINVAL) << "QUECVT goes up";
    EXPECT_EQ(convert(ls_, held, LKM_EXMODE, LKF_CONVDEADLK | LKF_NOQUEUE), EINVAL);
    EXPECT_EQ(convert(ls_, held, LKM_EXMODE, LKF_EXPEDITE), EINVAL);
    EXPECT_EQ(convert_status(ls_, held, LKM_EXMODE, LKF_QUECVT), 0);
    // Another name and length are not looked at.
    ASSERT_EQ(threaded().lock(ls_, LKM_PRMODE, &held.lksb, LKF_CONVERT, nullptr, 4000, 0, Held::ast, &held, nullptr,
                              nullptr), 0);
    EXPECT_TRUE(completed(ls_, held));
}

TEST_F(CallRows, BusyWhileAnOperationIsUnderWay) {
    Held holder, waiter, converter;
    ASSERT_EQ(status_of(ls_, holder, LKM_PRMODE, 0), 0);
    ASSERT_EQ(lock(ls_, waiter, LKM_EXMODE, 0), 0);
    EXPECT_EQ(convert(ls_, waiter, LKM_PRMODE), EBUSY);
    ASSERT_EQ(status_of(ls_, converter, LKM_NLMODE, LKF_EXPEDITE), 0);
    ASSERT_EQ(convert(ls_, converter, LKM_EXMODE), 0);
    EXPECT_EQ(convert(ls_, converter, LKM_NLMODE), EBUSY);
    // A plain unlock goes through in either state.
    EXPECT_EQ(unlock_status(ls_, waiter), EUNLOCK);
    EXPECT_EQ(unlock_status(ls_, converter), EUNLOCK);
}

TEST_F(CallRows, LastAddressesCount) {
    Held first, second;
    ASSERT_EQ(status_of(ls_, first, LKM_EXMODE, 0), 0);
    // The conversion names another lksb and argument: they get its completion.
    second.lksb.sb_lkid = first.lksb.sb_lkid;
    ASSERT_EQ(convert_status(ls_, second, LKM_PRMODE), 0);
    EXPECT_EQ(first.asts, 1U);
    // Unlock: the lock's last routine, the new argument.
    ASSERT_EQ(threaded().unlock(ls_, first.lksb.sb_lkid, 0, &first.lksb, &first), 0);
    ASSERT_TRUE(completed(ls_, first));
    EXPECT_EQ(first.lksb.sb_status, EUNLOCK);
    EXPECT_EQ(second.lksb.sb_status, 0);
    // Without an argument: the lock's last one; the lksb is the call's.
    ASSERT_EQ(status_of(ls_, first, LKM_EXMODE, 0), 0);
    ASSERT_EQ(threaded().unlock(ls_, first.lksb.sb_lkid, 0, &second.lksb, nullptr), 0);
    ASSERT_TRUE(completed(ls_, first));
    EXPECT_EQ(second.lksb.sb_status, EUNLOCK);
}

TEST_F(CallRows, TheValueBlockGoesWhereTheLksbPointsAtDispatch) {
    Held held;
    std::memset(held.lvb, 'x', sizeof held.lvb);
    char later[DLM_LVB_LEN];
    std::memset(later, 'y', sizeof later);
    ASSERT_EQ(lock(ls_, held, LKM_EXMODE, LKF_VALBLK), 0);
    held.lksb.sb_lvbptr = later;
    ASSERT_TRUE(completed(ls_, held));
    EXPECT_EQ(std::string(later, sizeof later), std::string(DLM_LVB_LEN, '\0')) << "a new resource reads zeros";
    EXPECT_EQ(std::string(held.lvb, sizeof held.lvb), std::string(DLM_LVB_LEN, 'x'));
    EXPECT_EQ(held.lksb.sb_flags, 0);
}

TEST_F(CallRows, ValuesAreWrittenByConversionsAndByUnlock) {
    Held keeper, writer, reader;
    ASSERT_EQ(status_of(ls_, keeper, LKM_NLMODE, 0), 0);
    ASSERT_EQ(status_of(ls_, writer, LKM_EXMODE, LKF_VALBLK), 0);
    std::memcpy(writer.lvb, "converted", 10);
    ASSERT_EQ(convert_status(ls_, writer, LKM_PRMODE, LKF_VALBLK), 0);
    ASSERT_EQ(status_of(ls_, reader, LKM_PRMODE, LKF_VALBLK), 0);
    EXPECT_STREQ(reader.lvb, "converted");
    ASSERT_EQ(unlock_status(ls_, reader), EUNLOCK);
    ASSERT_EQ(convert_status(ls_, writer, LKM_EXMODE, LKF_VALBLK), 0);
    std::memcpy(writer.lvb, "unlocked", 9);
    ASSERT_EQ(unlock_status(ls_, writer, LKF_VALBLK), EUNLOCK);
    ASSERT_EQ(status_of(ls_, reader, LKM_EXMODE, LKF_VALBLK), 0);
    EXPECT_STREQ(reader.lvb, "unlocked");
    // Without VALBLK the buffer is not looked at, wherever it points.
    reader.lksb.sb_lvbptr = reinterpret_cast<char*>(16);
    ASSERT_EQ(unlock_status(ls_, reader), EUNLOCK);
    reader.lksb.sb_lvbptr = reader.lvb;
    ASSERT_EQ(status_of(ls_, reader, LKM_EXMODE, LKF_VALBLK), 0);
    EXPECT_STREQ(reader.lvb, "unlocked");
    ASSERT_EQ(unlock_status(ls_, reader, LKF_IVVALBLK), EUNLOCK);
    ASSERT_EQ(status_of(ls_, reader, LKM_PRMODE, LKF_VALBLK), 0);
    EXPECT_EQ(reader.lksb.sb_flags, DLM_SBF_VALNOTVALID);
    EXPECT_STREQ(reader.lvb, "unlocked");
}

// The node lets go of it when it has seen that nobody else needs it: within some heartbeats (locks/dlm/DEVIATIONS.md).
TEST_F(CallRows, TheValueGoesWithTheLastLock) {
    for (const int how : {LKF_VALBLK, LKF_IVVALBLK}) {
        Held held;
        ASSERT_EQ(status_of(ls_, held, LKM_EXMODE, LKF_VALBLK), 0);
        EXPECT_EQ(held.lksb.sb_flags, 0);
        EXPECT_STREQ(held.lvb, "");
        std::memcpy(held.lvb, "value", 6);
        ASSERT_EQ(unlock_status(ls_, held, static_cast<unsigned>(how)), EUNLOCK);
        const auto gone = [&] {
            EXPECT_FALSE(readable(ls_, 300));              // nothing happens; time passes
            EXPECT_EQ(status_of(ls_, held, LKM_PRMODE, LKF_VALBLK), 0);
            EXPECT_EQ(unlock_status(ls_, held), EUNLOCK);
            return held.lvb[0] == '\0' && held.lksb.sb_flags == 0;
        };
        unsigned looks = 1;
        while (!gone() && looks < 20) ++looks;
        EXPECT_LT(looks, 20U);
    }
}

TEST_F(CallRows, NamesAreBinaryAndCounted) {
    Held a, b, c, empty;
    EXPECT_EQ(status_of(ls_, a, LKM_EXMODE, LKF_NOQUEUE, "ping"), 0);
    EXPECT_EQ(status_of(ls_, b, LKM_EXMODE, LKF_NOQUEUE, std::string("ping\0", 5)), 0);
    EXPECT_EQ(status_of(ls_, c, LKM_EXMODE, LKF_NOQUEUE, std::string(64, '\xff')), 0);
    EXPECT_EQ(status_of(ls_, empty, LKM_EXMODE, LKF_NOQUEUE, ""), 0);
    Held again;
    EXPECT_EQ(status_of(ls_, again, LKM_EXMODE, LKF_NOQUEUE, "ping"), EAGAIN);
    EXPECT_EQ(status_of(ls_, again, LKM_EXMODE, LKF_NOQUEUE, ""), EAGAIN);
}

TEST_F(CallRows, UnlockErrors) {
    Held held;
    EXPECT_EQ(unlock(ls_, held), EINVAL) << "id 0";
    EXPECT_EQ(held.lksb.sb_status, EINPROG);
    held.lksb.sb_lkid = 12345;
    EXPECT_EQ(unlock(ls_, held), ENOENT);
    ASSERT_EQ(status_of(ls_, held, LKM_EXMODE, 0), 0);
    EXPECT_EQ(unlock(ls_, held, LKF_NOQUEUE), EINVAL);
    EXPECT_EQ(unlock(ls_, held, LKF_CANCEL | LKF_FORCEUNLOCK), EINVAL);
    EXPECT_EQ(unlock_status(ls_, held, LKF_FORCEUNLOCK), EUNLOCK);
    EXPECT_EQ(unlock(ls_, held), ENOENT) << "unlocked";
}

TEST_F(CallRows, Cancel) {
    Held holder, waiter;
    ASSERT_EQ(status_of(ls_, holder, LKM_PRMODE, 0), 0);
    ASSERT_EQ(lock(ls_, waiter, LKM_EXMODE, 0), 0);
    EXPECT_EQ(unlock_status(ls_, waiter, LKF_CANCEL), ECANCEL);
    EXPECT_EQ(waiter.asts, 1U) << "one completion for both";
    EXPECT_EQ(unlock(ls_, waiter), ENOENT) << "never granted: gone";
    // A conversion goes back to its mode.
    Held converter;
    ASSERT_EQ(status_of(ls_, converter, LKM_PRMODE, 0), 0);
    ASSERT_EQ(convert(ls_, converter, LKM_EXMODE), 0);
    EXPECT_EQ(unlock_status(ls_, converter, LKF_CANCEL), ECANCEL);
    EXPECT_EQ(convert_status(ls_, converter, LKM_CRMODE), 0);
    // An idle lock: 0 and nothing more.
    EXPECT_EQ(unlock(ls_, converter, LKF_CANCEL), 0);
    EXPECT_FALSE(readable(ls_));
    EXPECT_EQ(unlock_status(ls_, converter), EUNLOCK);
}

TEST_F(CallRows, ACancelThatComesTooLate) {
    Held held;
    ASSERT_EQ(lock(ls_, held, LKM_EXMODE, 0), 0);
    ASSERT_TRUE(readable(ls_, 20'000));                    // granted, and not delivered
    EXPECT_EQ(unlock(ls_, held, LKF_CANCEL), 0);
    ASSERT_TRUE(completed(ls_, held));
    EXPECT_EQ(held.lksb.sb_status, 0);
    EXPECT_FALSE(readable(ls_)) << "one completion for both";
    EXPECT_EQ(held.asts, 1U);
    EXPECT_EQ(unlock_status(ls_, held), EUNLOCK);
}

TEST_F(CallRows, UnknownFlagBits) {
    Held held;
    constexpr unsigned unknown = 0x02000000;
    EXPECT_EQ(status_of(ls_, held, LKM_EXMODE, unknown), 0);
    EXPECT_EQ(convert_status(ls_, held, LKM_PRMODE, unknown), 0);
    EXPECT_EQ(unlock(ls_, held, unknown), EINVAL);
    EXPECT_EQ(unlock_status(ls_, held), EUNLOCK);
}

TEST_F(CallRows, DeadlockCancel) {
    Held holder, waiter;
    ASSERT_EQ(status_of(ls_, holder, LKM_EXMODE, 0), 0);
    ASSERT_EQ(lock(ls_, waiter, LKM_EXMODE, 0), 0);
    EXPECT_EQ(threaded().deadlock_cancel(ls_, waiter.lksb.sb_lkid, 0), 0);
    ASSERT_TRUE(completed(ls_, waiter));
    EXPECT_EQ(waiter.lksb.sb_status, EDEADLK);
    EXPECT_EQ(threaded().deadlock_cancel(ls_, 0, 0), -1);
    EXPECT_EQ(errno, EINVAL);
}

TEST_F(CallRows, IdsBelongToTheProcess) {
    Held held;
    ASSERT_EQ(status_of(ls_, held, LKM_EXMODE, 0), 0);
    const std::uint32_t id = held.lksb.sb_lkid;
    // Another process, over a handle of its own.
    Program stranger([id] {
        dlm_lshandle_t own = threaded().open("rows");
        struct dlm_lksb lksb {};
        if (own == nullptr) return 99;
        const int rc = threaded().unlock(own, id, 0, &lksb, nullptr);
        return rc == -1 ? errno : 0;
    });
    EXPECT_EQ(stranger.wait(), ENOENT);
    // Another handle of this process: allowed, the completion comes on the handle that made the lock.
    dlm_lshandle_t other = threaded().open("rows");
    EXPECT_EQ(unlock(other, held), 0);
    EXPECT_TRUE(completed(ls_, held));
    EXPECT_EQ(held.lksb.sb_status, EUNLOCK);
    EXPECT_FALSE(readable(other));
    EXPECT_EQ(threaded().close(other), 0);
}

TEST_F(CallRows, Timeouts) {
    Held holder, waiter;
    ASSERT_EQ(status_of(ls_, holder, LKM_EXMODE, 0), 0);
    std::uint64_t centiseconds = 1, xid = 77;
    ASSERT_EQ(threaded().lockx(ls_, LKM_EXMODE, &waiter.lksb, LKF_TIMEOUT, "resource", 8, 0, Held::ast, &waiter,
                               nullptr, &xid, &centiseconds),
              0);
    ASSERT_TRUE(completed(ls_, waiter));
    EXPECT_EQ(waiter.lksb.sb_status, ETIMEDOUT);
    EXPECT_EQ(unlock(ls_, waiter), ENOENT);
    // Without the flag it is ignored.
    ASSERT_EQ(threaded().lockx(ls_, LKM_EXMODE, &waiter.lksb, 0, "resource", 8, 0, Held::ast, &waiter, nullptr, &xid,
                               &centiseconds), 0);
    EXPECT_FALSE(readable(ls_, 300));
    EXPECT_EQ(unlock_status(ls_, waiter), EUNLOCK);
}

TEST_F(CallRows, ConversionDeadlockAndAlternativeModes) {
    Held a, b, c;
    ASSERT_EQ(status_of(ls_, a, LKM_PRMODE, 0), 0);
    ASSERT_EQ(status_of(ls_, b, LKM_PRMODE, 0), 0);
    ASSERT_EQ(convert(ls_, a, LKM_EXMODE), 0);
    EXPECT_EQ(convert_status(ls_, b, LKM_EXMODE), EDEADLK);
    EXPECT_EQ(convert_status(ls_, b, LKM_EXMODE, LKF_NOQUEUE), EAGAIN);
    EXPECT_EQ(unlock_status(ls_, b), EUNLOCK);
    ASSERT_TRUE(until(ls_, [&] { return a.lksb.sb_status == 0; }));
    ASSERT_EQ(convert_status(ls_, a, LKM_PRMODE), 0);
    EXPECT_EQ(status_of(ls_, c, LKM_CWMODE, LKF_ALTPR), 0);
    EXPECT_EQ(c.lksb.sb_flags, DLM_SBF_ALTMODE);
}

TEST_F(CallRows, Purge) {
    Held own, persistent;
    ASSERT_EQ(status_of(ls_, own, LKM_EXMODE, 0, "own"), 0);
    ASSERT_EQ(status_of(ls_, persistent, LKM_EXMODE, LKF_PERSISTENT, "persistent"), 0);
    EXPECT_EQ(threaded().purge(ls_, 0, 1), 0) << "nobody's orphans";
    EXPECT_EQ(count("locks"), 2U);
    EXPECT_EQ(threaded().purge(ls_, 0, ::gettid()), 0);
    EXPECT_EQ(count("locks"), 0U);
    EXPECT_FALSE(readable(ls_)) << "no completions";
    EXPECT_EQ(unlock(ls_, own), ENOENT);
    EXPECT_EQ(threaded().purge(ls_, 99, 0), -1);
    EXPECT_EQ(errno, ENOBUFS);
}

}  // namespace
}  // namespace sdlm
