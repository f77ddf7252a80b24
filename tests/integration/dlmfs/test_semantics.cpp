// SPDX-License-Identifier: LGPL-2.1-or-later
// Rows of the dlmfs and FUSE sections of the semantics that the observed rows do not cover.
#include <poll.h>
#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "tests/integration/dlmfs/rows.hpp"

namespace sdlm::fs::test {

constexpr int create_exclusive = O_RDWR | O_CREAT;
constexpr int marked = POLLIN | POLLRDNORM;

TEST_F(Rows, Semantics13_HandOverCarriesTheValue) {
    make(b);
    File holder(lock(a), create_exclusive);
    EXPECT_EQ(File(lock(b), O_RDWR | O_NONBLOCK).error(), ETXTBSY);
    Client waiter;
    waiter.begin_open(lock(b), O_RDWR);
    ASSERT_TRUE(becomes(holder, marked));
    EXPECT_EQ(holder.write(0, "handed over"), 11);
    holder.close();
    ASSERT_GE(waiter.finish(), 0);
    EXPECT_EQ(File(lock(b), O_RDONLY).read(0, 11), "handed over");
}

TEST_F(Rows, Semantics13_SharedHoldersKeepAWriterOut) {
    make(b);
    File one(lock(a), O_RDONLY | O_CREAT);
    File two(lock(a), O_RDONLY);
    EXPECT_TRUE(File(lock(b), O_RDONLY | O_NONBLOCK).is_open());
    Client writer;
    writer.begin_open(lock(b), O_WRONLY);
    ASSERT_TRUE(becomes(one, marked));
    one.close();
    expect_still_waiting(writer);
    two.close();
    EXPECT_GE(writer.finish(), 0);
}

TEST_F(Rows, Semantics13_DescriptorRights) {
    const File reader(lock(a), O_RDONLY | O_CREAT);
    const File writer(lock(a), O_WRONLY);
    EXPECT_EQ(reader.write(0, "x"), -EBADF);
    EXPECT_EQ(writer.read(0), "E" + std::to_string(EBADF));
    EXPECT_EQ(writer.write(0, "x"), 1);
    EXPECT_EQ(reader.read(0, 1), "x");
}

TEST_F(Rows, Semantics13_PermissionsRestrictAccess) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become another user";
    make(a);
    ASSERT_EQ(failed(::chmod(lock(a).c_str(), 0640)), 0);
    ASSERT_EQ(failed(::chown(lock(a).c_str(), 0, 4242)), 0);
    const auto as_user = [this](gid_t group, int flags) {
        const pid_t child = ::fork();
        if (child == 0) {
            if (::setgroups(0, nullptr) != 0 || ::setgid(group) != 0 || ::setuid(4711) != 0) ::_exit(255);
            const int fd = ::open(lock(a).c_str(), flags);
            ::_exit(fd >= 0 ? 0 : errno);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        return WEXITSTATUS(status);
    };
    EXPECT_EQ(as_user(4242, O_RDONLY), 0) << "allow_other is on, the group may read";
    EXPECT_EQ(as_user(4242, O_RDWR), EACCES);
    EXPECT_EQ(as_user(4243, O_RDONLY), EACCES);
}

TEST_F(Rows, Semantics13_SetGidDomainPassesItsGroupOn) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to change the group";
    ASSERT_EQ(failed(::chown(domain(a).c_str(), 0, 4242)), 0);
    ASSERT_EQ(failed(::chmod(domain(a).c_str(), 02775)), 0);
    make(a);
    struct stat status {};
    ASSERT_EQ(::stat(lock(a).c_str(), &status), 0);
    EXPECT_EQ(status.st_gid, 4242U);
}

TEST_F(Rows, Semantics15_1_ABlockedOpenBlocksNothingElseInTheDomain) {
    const File holder(lock(b), create_exclusive);
    Client waiter;
    waiter.begin_open(lock(a), create_exclusive);
    ASSERT_TRUE(becomes(holder, marked));
    EXPECT_TRUE(File(lock(a, "new"), create_exclusive | O_NONBLOCK).is_open());
    EXPECT_TRUE(File(lock(a, "new2"), create_exclusive | O_EXCL).is_open());
    settle(a);
    EXPECT_EQ(failed(::unlink(lock(a, "new").c_str())), 0);
    struct stat status {};
    EXPECT_EQ(::stat(lock(a).c_str(), &status), 0) << "not even calls on the same name";
    EXPECT_EQ(failed(::chmod(lock(a).c_str(), 0600)), 0);
    expect_still_waiting(waiter);
}

TEST_F(Rows, Semantics15_2_UnlinkRightAfterClose) {
    for (int i = 0; i < 200; ++i) {
        File(lock(a), create_exclusive).close();
        ASSERT_EQ(failed(::unlink(lock(a).c_str())), 0) << "round " << i;
    }
}

TEST_F(Rows, Semantics15_2_UnlinkRightAfterTheHolderWasKilled) {
    for (int i = 0; i < 20; ++i) {
        Client holder;
        ASSERT_GE(holder.open(lock(a), create_exclusive), 0);
        holder.kill();
        ASSERT_EQ(failed(::unlink(lock(a).c_str())), 0) << "round " << i;
    }
}

TEST_F(Rows, Semantics15_5_NothingStaleIsRead) {
    make(a);
    make(b);
    const std::string text = "0123456789";
    for (int i = 0; i < 40; ++i) {
        const int writer = i % 2;
        EXPECT_EQ(File(lock(writer), O_RDWR).write(0, text.substr(static_cast<std::size_t>(i) % 10, 1)), 1);
        EXPECT_EQ(File(lock(1 - writer), O_RDONLY).read(0, 1), text.substr(static_cast<std::size_t>(i) % 10, 1));
    }
}

TEST_F(Rows, Semantics15_7_ManyBlockedOpens) {
    make(a);
    File holder(lock(b), create_exclusive);
    std::vector<std::unique_ptr<Client>> waiters;
    for (int i = 0; i < 40; ++i) {
        waiters.push_back(std::make_unique<Client>());
        begin_blocked_open(*waiters.back(), lock(a), i % 2 == 0 ? O_RDWR : O_RDONLY);
    }
    EXPECT_TRUE(File(lock(a, "other"), create_exclusive | O_NONBLOCK).is_open()) << "the mount serves others";
    for (std::size_t i = 0; i < 10; ++i) waiters[i]->kill();
    for (std::size_t i = 10; i < waiters.size(); ++i) expect_still_waiting(*waiters[i]);
    holder.close();
    for (std::size_t i = 10; i < waiters.size(); ++i) EXPECT_GE(waiters[i]->finish(), 0) << i;
}

}  // namespace sdlm::fs::test
