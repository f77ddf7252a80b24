// SPDX-License-Identifier: LGPL-2.1-or-later
// The ends of programs, leases and mounts.
#include <poll.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "tests/integration/dlmfs/rows.hpp"

namespace sdlm::fs::test {

constexpr int create_exclusive = O_RDWR | O_CREAT;
constexpr int marked = POLLIN | POLLRDNORM;

class Ends : public Rows {
protected:
    void SetUp() override {
        if (!mounts().fake()) GTEST_SKIP() << "the fake cluster's mounts are ended and made again here";
        Rows::SetUp();
    }
    void TearDown() override {
        if (mounts().fake()) Rows::TearDown();
    }
};

TEST_F(Rows, Ends_KilledHoldersAndWaitersLeaveAHealthyMount) {
    make(a);
    make(b);
    for (int i = 0; i < 20; ++i) {
        Client holder;
        Client waiter;
        Client second;
        ASSERT_GE(holder.open(lock(a), O_RDWR), 0);
        begin_blocked_open(waiter, lock(b), O_RDWR);
        begin_blocked_open(second, lock(b), O_RDONLY);
        (i % 2 == 0 ? holder : waiter).kill();
        EXPECT_TRUE(i % 2 == 0 ? waiter.finish() >= 0 : !second.finished().has_value());
    }
    EXPECT_TRUE(eventually([&] { return File(lock(a), O_RDWR | O_NONBLOCK).is_open(); }));
    EXPECT_TRUE(eventually([&] { return File(lock(b), O_RDWR | O_NONBLOCK).is_open(); }));
    if (mounts().fake()) {
        settle(a);
        settle(b);
        EXPECT_EQ(mounts().command("counts 0"), "1 1 1 0 0") << "domains, handles, files, descriptors, waiting";
        EXPECT_EQ(mounts().command("counts 1"), "1 1 1 0 0");
    }
}

TEST_F(Ends, LeaseLostFailsWaitingAndLaterCalls) {
    const File other(lock(a, "other"), create_exclusive);
    make(b, "other");
    Client holder;
    Client sleeper;
    Client waiter;
    const int fd = holder.open(lock(b), create_exclusive);
    ASSERT_GE(fd, 0);
    const int sleeping = sleeper.open(lock(b), O_RDONLY);
    sleeper.begin_wait_readable(sleeping);
    waiter.begin_open(lock(b, "other"), O_RDWR);
    ASSERT_TRUE(becomes(other, marked));
    ASSERT_TRUE(mounts().kill_b());
    EXPECT_EQ(waiter.finish(), -EIO);
    EXPECT_EQ(sleeper.finish(), POLLERR | POLLHUP) << "a sleeping poll is woken";
    EXPECT_EQ(holder.poll(fd), POLLERR | POLLHUP);
    EXPECT_EQ(File(lock(b), O_RDONLY).error(), EIO);
    EXPECT_EQ(File(lock(b, "new"), create_exclusive).error(), EIO);
    EXPECT_EQ(failed(::mkdir((root(b) + "/new").c_str(), 0755)), EIO);
    EXPECT_TRUE(becomes(other, 0)) << "nobody waits any more";
    EXPECT_EQ(holder.close(fd), 0);
    EXPECT_EQ(failed(::unlink(lock(b).c_str())), EBUSY) << "the sleeper has it open";
    sleeper.kill();
    EXPECT_EQ(failed(::unlink(lock(b).c_str())), 0) << "cleaning up works";
    mounts().restart_b();
}

TEST_F(Ends, UnmountedByTheDaemonWithOpenAndWaitingPrograms) {
    const File other(lock(a, "other"), create_exclusive);
    make(b, "other");
    make(a);
    Client holder;
    Client waiter;
    ASSERT_GE(holder.open(lock(b), create_exclusive), 0);
    waiter.begin_open(lock(b, "other"), O_RDWR);
    ASSERT_TRUE(becomes(other, marked));
    ASSERT_EQ(mounts().command("unmount 1"), "ok");
    EXPECT_EQ(waiter.finish(), -EIO);
    EXPECT_TRUE(becomes(other, 0));
    EXPECT_TRUE(File(lock(a), O_RDWR | O_NONBLOCK).is_open()) << "its holds are dropped";
    EXPECT_EQ(mounts().command("counts 1"), "0 0 0 0 0") << "its domains are left";
    EXPECT_EQ(File(root(b) + "/" + domain_, O_RDONLY).error(), ENOENT) << "nothing is mounted there";
    holder.kill();
    mounts().restart_b();
}

TEST_F(Ends, UnmountedByAnAdministrator) {
    make(b);
    ASSERT_EQ(failed(::umount2(root(b).c_str(), 0)), 0);
    EXPECT_EQ(mounts().command("wait-unmounted 1"), "ok");
    EXPECT_EQ(mounts().command("counts 1"), "0 0 0 0 0") << "its domains are left";
    mounts().restart_b();
}

TEST_F(Ends, UnmountedByFusermount) {
    if (std::system("command -v fusermount3 >/dev/null") != 0) GTEST_SKIP() << "fusermount3 is not installed";
    make(a);
    Client holder;
    ASSERT_GE(holder.open(lock(b), create_exclusive), 0);
    EXPECT_NE(std::system(("fusermount3 -u " + root(b) + " 2>/dev/null").c_str()), 0) << "busy";
    EXPECT_EQ(std::system(("fusermount3 -u -z " + root(b)).c_str()), 0);
    holder.kill();   // the last user of the detached mount
    EXPECT_EQ(mounts().command("wait-unmounted 1"), "ok");
    EXPECT_TRUE(File(lock(a), O_RDWR | O_NONBLOCK).is_open());
    EXPECT_EQ(mounts().command("counts 1"), "0 0 0 0 0");
    mounts().restart_b();
}

}  // namespace sdlm::fs::test
