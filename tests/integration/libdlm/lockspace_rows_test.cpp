// SPDX-License-Identifier: LGPL-2.1-or-later
// SEMANTICS 1 and 2, OBSERVED 38: versions and lockspaces.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "tests/integration/libdlm/nodes.hpp"
#include "tests/integration/libdlm/program.hpp"

namespace sdlm {
namespace {

class LockspaceRows : public Nodes {
protected:
    mode_t mode_of(const char* name) const {
        struct stat status {};
        EXPECT_EQ(::stat((run_dir(0) + "/dlm/ls." + name).c_str(), &status), 0) << name;
        return status.st_mode & 07777;
    }
    bool exists(const char* name) const { return ::access((run_dir(0) + "/dlm/ls." + name).c_str(), F_OK) == 0; }
    // In a process of user 65534: the errno of the call, 0 when it succeeded.
    static int as_nobody(const std::function<int()>& call) {
        Program program([&] {
            if (::setgid(65534) != 0 || ::setuid(65534) != 0) return 98;
            return call();
        });
        return program.wait();
    }
};

TEST_F(LockspaceRows, Versions) {
    std::uint32_t a = 0, b = 0, c = 0;
    threaded().library_version(&a, &b, &c);
    EXPECT_EQ((std::vector<std::uint32_t>{a, b, c}), (std::vector<std::uint32_t>{6, 0, 2}));
    a = b = c = 99;
    EXPECT_EQ(threaded().kernel_version(&a, &b, &c), 0);
    EXPECT_EQ((std::vector<std::uint32_t>{a, b, c}), (std::vector<std::uint32_t>{6, 0, 2}));
}

TEST_F(LockspaceRows, WithoutADaemon) {
    ::setenv("SDLM_RUN_DIR", "/nonexistent", 1);
    std::uint32_t a = 0, b = 0, c = 0;
    EXPECT_EQ(threaded().kernel_version(&a, &b, &c), -1);
    errno = 0;
    EXPECT_EQ(threaded().create("x", 0600), nullptr);
    EXPECT_EQ(errno, EUNATCH);
    EXPECT_EQ(threaded().open("x"), nullptr);
    EXPECT_EQ(errno, ENOENT);
    use(0);
}

TEST_F(LockspaceRows, CreatesAreCountedAndEachReleaseTakesOneOff) {
    dlm_lshandle_t first = create(), second = create();
    EXPECT_EQ(count("lockspaces"), 1U);
    EXPECT_EQ(count("handles"), 2U);
    EXPECT_EQ(threaded().release("rows", first, 0), 0);
    EXPECT_TRUE(exists("rows"));
    EXPECT_EQ(threaded().release("rows", second, 0), 0);
    EXPECT_FALSE(exists("rows"));
    EXPECT_EQ(count("lockspaces"), 0U);
}

TEST_F(LockspaceRows, NewExclAndUnknownFlags) {
    dlm_lshandle_t ls = threaded().make("rows", 0600, DLM_LSFL_NEWEXCL | DLM_LSFL_FS | DLM_LSFL_TIMEWARN | 0x8000);
    ASSERT_NE(ls, nullptr);
    errno = 0;
    EXPECT_EQ(threaded().make("rows", 0600, DLM_LSFL_NEWEXCL), nullptr);
    EXPECT_EQ(errno, EEXIST);
    EXPECT_EQ(threaded().release("rows", ls, 0), 0);
}

TEST_F(LockspaceRows, OpenNeedsAnExistingOne) {
    errno = 0;
    EXPECT_EQ(threaded().open("rows"), nullptr);
    EXPECT_EQ(errno, ENOENT);
    dlm_lshandle_t ls = create(), other = threaded().open("rows");
    EXPECT_NE(other, nullptr);
    EXPECT_EQ(threaded().close(other), 0);
    // It stays when nobody has it open.
    EXPECT_EQ(threaded().close(ls), 0);
    EXPECT_TRUE(exists("rows"));
    ls = threaded().open("rows");
    EXPECT_EQ(threaded().release("rows", ls, 0), 0);
}

TEST_F(LockspaceRows, Names) {
    for (const char* bad : {"", "a/b", "/", "a\nb", "\x7f"}) {
        errno = 0;
        EXPECT_EQ(threaded().create(bad, 0600), nullptr) << bad;
        EXPECT_EQ(errno, EINVAL) << bad;
        EXPECT_EQ(threaded().open(bad), nullptr) << bad;
    }
    errno = 0;
    EXPECT_EQ(threaded().create(nullptr, 0600), nullptr);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(threaded().create(std::string(65, 'x').c_str(), 0600), nullptr);
    EXPECT_EQ(errno, EINVAL);
    for (const std::string& good :
         {std::string(64, 'x'), std::string("."), std::string(".."), std::string("a b\xff")}) {
        dlm_lshandle_t ls = threaded().create(good.c_str(), 0600);
        ASSERT_NE(ls, nullptr) << good << " errno " << errno;
        Held held;
        EXPECT_EQ(status_of(ls, held, LKM_EXMODE, 0), 0);
        EXPECT_EQ(threaded().release(good.c_str(), ls, 1), 0);
    }
}

// The kernel ran out of device numbers at the 65th.
TEST_F(LockspaceRows, MoreThanSixtyFour) {
    std::vector<dlm_lshandle_t> all;
    for (unsigned i = 0; i < 70; ++i) {
        all.push_back(create(("many" + std::to_string(i)).c_str()));
        ASSERT_NE(all.back(), nullptr) << i;
    }
    EXPECT_EQ(count("lockspaces"), 70U);
    Held held;
    EXPECT_EQ(status_of(all.back(), held, LKM_EXMODE, 0), 0);
    for (unsigned i = 0; i < 70; ++i) EXPECT_EQ(threaded().release(("many" + std::to_string(i)).c_str(), all[i], 1), 0);
    EXPECT_EQ(count("lockspaces"), 0U);
}

TEST_F(LockspaceRows, ModeIsExactAndZeroIsTheDefault) {
    const mode_t mask = ::umask(077);
    dlm_lshandle_t a = threaded().create("a", 0666), b = threaded().create("b", 0), c = threaded().create("c", 0600);
    ::umask(mask);
    EXPECT_EQ(mode_of("a"), 0666U);
    EXPECT_EQ(mode_of("b"), 0660U);
    EXPECT_EQ(mode_of("c"), 0600U);
    EXPECT_EQ(as_nobody([] { return threaded().open("a") != nullptr ? 0 : errno; }), 0);
    EXPECT_EQ(as_nobody([] { return threaded().open("b") != nullptr ? 0 : errno; }), EACCES);
    EXPECT_EQ(as_nobody([] { return threaded().open("c") != nullptr ? 0 : errno; }), EACCES);
    threaded().release("a", a, 1);
    threaded().release("b", b, 1);
    threaded().release("c", c, 1);
}

TEST_F(LockspaceRows, CreateAndReleaseNeedPrivileges) {
    dlm_lshandle_t ls = threaded().create("rows", 0666);
    EXPECT_EQ(as_nobody([] { return threaded().create("other", 0666) != nullptr ? 0 : errno; }), EPERM);
    EXPECT_EQ(as_nobody([] { return threaded().create("rows", 0666) != nullptr ? 0 : errno; }), EPERM);
    EXPECT_EQ(as_nobody([] {
                  dlm_lshandle_t own = threaded().open("rows");
                  return threaded().release("rows", own, 0) == 0 ? 0 : errno;
              }), EPERM);
    EXPECT_EQ(count("handles"), 1U);
    EXPECT_EQ(threaded().release("rows", ls, 0), 0);
}

TEST_F(LockspaceRows, ReleaseOfABusyOneReturnsZeroAndLeavesIt) {
    dlm_lshandle_t holder = create(), ls = threaded().open("rows");
    Held held;
    ASSERT_EQ(status_of(holder, held, LKM_EXMODE, 0), 0);
    errno = 0;
    EXPECT_EQ(threaded().release("rows", ls, 0), 0);
    EXPECT_EQ(errno, EBUSY);
    EXPECT_TRUE(exists("rows"));
    // The caller's handle is gone all the same; locks held through it are no obstacle.
    EXPECT_EQ(count("handles"), 1U);
    EXPECT_EQ(threaded().release("rows", holder, 0), 0);
    EXPECT_FALSE(exists("rows"));
}

TEST_F(LockspaceRows, ForceDestroysOrphans) {
    dlm_lshandle_t ls = create();
    Held held;
    ASSERT_EQ(status_of(ls, held, LKM_EXMODE, LKF_PERSISTENT), 0);
    EXPECT_EQ(threaded().close(ls), 0);
    EXPECT_EQ(count("locks"), 1U);
    ls = threaded().open("rows");
    errno = 0;
    EXPECT_EQ(threaded().release("rows", ls, 0), 0);
    EXPECT_EQ(errno, EBUSY);
    ls = threaded().open("rows");
    ASSERT_NE(ls, nullptr);
    EXPECT_EQ(threaded().release("rows", ls, 2), 0);
    EXPECT_FALSE(exists("rows"));
}

TEST_F(LockspaceRows, TheLastReleaseWaitsForOtherHandles) {
    dlm_lshandle_t ls = create(), other = threaded().open("rows");
    std::atomic<bool> released = false;
    std::thread releaser([&] {
        EXPECT_EQ(threaded().release("rows", ls, 0), 0);
        released = true;
    });
    // The release has closed its own handle when it waits.
    while (count("handles") != 1) std::this_thread::yield();
    Held held;
    EXPECT_EQ(status_of(other, held, LKM_EXMODE, 0), 0);
    EXPECT_TRUE(exists("rows"));
    EXPECT_FALSE(released);
    EXPECT_EQ(threaded().close(other), 0);
    releaser.join();
    EXPECT_FALSE(exists("rows"));
}

void nothing(int) {}

TEST_F(LockspaceRows, AWaitingReleaseCanBeInterrupted) {
    dlm_lshandle_t other = create();
    Signal ready;
    Program releaser([&] {
        struct sigaction action {};
        action.sa_handler = nothing;
        ::sigaction(SIGUSR1, &action, nullptr);
        ready.give();
        dlm_lshandle_t ls = threaded().open("rows");
        const int rc = threaded().release("rows", ls, 0);
        return rc == -1 ? errno : 0;
    });
    ASSERT_TRUE(ready.take());
    // Signalled again and again: the first may come before it waits.
    const auto ended = [&] {
        releaser.kill(SIGUSR1);
        return test::read_file("/proc/" + std::to_string(releaser.pid()) + "/stat").find(") Z ") != std::string::npos;
    };
    while (!ended()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(releaser.wait(), EINTR);
    // It is taken back: the lockspace is as it was.
    EXPECT_TRUE(exists("rows"));
    EXPECT_EQ(threaded().release("rows", other, 0), 0);
    EXPECT_FALSE(exists("rows"));
}

TEST_F(LockspaceRows, ReleaseChecksTheName) {
    dlm_lshandle_t ls = create();
    errno = 0;
    EXPECT_EQ(threaded().release("another", ls, 0), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(threaded().release(nullptr, ls, 0), -1);
    EXPECT_EQ(threaded().release("rows", nullptr, 0), -1);
    EXPECT_EQ(count("handles"), 1U);
    EXPECT_EQ(threaded().release("rows", ls, 0), 0);
    EXPECT_EQ(threaded().close(nullptr), -1);
    EXPECT_EQ(threaded().close(ls), -1) << "a handle that is gone";
}

TEST_F(LockspaceRows, EachOpenIsAnOwnerAndItsDescriptorIsNotInherited) {
    dlm_lshandle_t a = create(), b = threaded().open("rows");
    Held first, second;
    EXPECT_EQ(status_of(a, first, LKM_EXMODE, 0), 0);
    EXPECT_EQ(status_of(b, second, LKM_EXMODE, LKF_NOQUEUE), EAGAIN);
    EXPECT_NE(::fcntl(threaded().get_fd(a), F_GETFD) & FD_CLOEXEC, 0);
    // Closing takes effect before it returns.
    EXPECT_EQ(threaded().close(a), 0);
    EXPECT_EQ(status_of(b, second, LKM_EXMODE, LKF_NOQUEUE), 0);
    EXPECT_EQ(threaded().release("rows", b, 0), 0);
}

TEST_F(LockspaceRows, TheDefaultLockspaceIsMadeOnFirstUse) {
    Program program([this] {
        if (exists("default")) return 1;
        struct dlm_lksb lksb {};
        if (threaded().default_lock_wait(LKM_EXMODE, &lksb, 0, "x", 1, 0, nullptr, nullptr, nullptr) != 0) return 2;
        if (lksb.sb_status != 0 || mode_of("default") != 0600) return 3;
        if (threaded().default_fd() < 0) return 4;
        if (threaded().default_unlock_wait(lksb.sb_lkid, 0, &lksb) != 0 || lksb.sb_status != EUNLOCK) return 5;
        return threaded().pthread_cleanup();
    });
    EXPECT_EQ(program.wait(), 0);
    EXPECT_TRUE(exists("default"));
    EXPECT_EQ(count("handles"), 0U);
}

}  // namespace
}  // namespace sdlm
