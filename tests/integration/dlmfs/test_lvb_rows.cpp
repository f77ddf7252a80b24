// SPDX-License-Identifier: LGPL-2.1-or-later
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "tests/integration/dlmfs/rows.hpp"

namespace sdlm::fs::test {

constexpr int create_exclusive = O_RDWR | O_CREAT;
const std::string zeros(64, '\0');

TEST_F(Rows, Observed01_WriteHonoursOffset) {
    const File file(lock(a), create_exclusive);
    ASSERT_TRUE(file.is_open());
    EXPECT_EQ(file.write(10, "AB"), 2);
    EXPECT_EQ(file.read(0), std::string(10, '\0') + "AB" + std::string(52, '\0'));
    ASSERT_EQ(::lseek(file.fd(), 0, SEEK_SET), 0);
    EXPECT_EQ(::write(file.fd(), "AB", 2), 2);
    EXPECT_EQ(::write(file.fd(), "CD", 2), 2);
    EXPECT_EQ(file.read(0, 4), "ABCD");
    std::string one = "abc";
    std::string two = "def";
    const std::array<iovec, 2> parts{iovec{one.data(), 3}, iovec{two.data(), 3}};
    EXPECT_EQ(::pwritev(file.fd(), parts.data(), 2, 20), 6);
    EXPECT_EQ(file.read(20, 6), "abcdef") << "reads honour the offset too";
    EXPECT_EQ(file.read(60).size(), 4U);
    EXPECT_EQ(file.read(64), "");
    EXPECT_EQ(file.read(1000), "");
}

TEST_F(Rows, Observed02_WriteAtAndOverTheEnd) {
    const File file(lock(a), create_exclusive);
    ASSERT_TRUE(file.is_open());
    EXPECT_EQ(file.write(0, std::string(64, 'x')), 64);
    EXPECT_EQ(file.write(64, "y"), -ENOSPC);
    EXPECT_EQ(file.write(1'000'000, "y"), -ENOSPC);
    EXPECT_EQ(file.write(60, "abcdefgh"), 4) << "cut short over the end";
    EXPECT_EQ(file.write(8, "short"), 5);
    const std::string expected = std::string(8, 'x') + "short" + std::string(47, 'x') + "abcd";
    EXPECT_EQ(file.read(0), expected) << "a short write leaves the rest alone";
    EXPECT_EQ(file.write(0, std::string(5000, 'z')), 64);
    EXPECT_EQ(file.write(64, ""), 0) << "FUSE never sees a write of 0 bytes";
    void* unreadable = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_EQ(failed(::pwrite(file.fd(), unreadable, 4, 0)), EFAULT);
    ::munmap(unreadable, 4096);
}

TEST_F(Rows, Observed12_SizeStaysAndValueToo) {
    {
        const File file(lock(a), create_exclusive);
        ASSERT_TRUE(file.is_open());
        EXPECT_EQ(file.write(0, "value"), 5);
        EXPECT_EQ(failed(::ftruncate(file.fd(), 3)), 0);
        EXPECT_EQ(failed(::ftruncate(file.fd(), 1000)), 0);
    }
    EXPECT_EQ(failed(::truncate(lock(a).c_str(), 0)), 0);
    const File file(lock(a), O_RDWR | O_TRUNC);
    ASSERT_TRUE(file.is_open());
    EXPECT_EQ(file.read(0, 6), std::string("value\0", 6));
    struct stat status {};
    ASSERT_EQ(::fstat(file.fd(), &status), 0);
    EXPECT_EQ(status.st_size, 64);
    EXPECT_EQ(status.st_blocks, 0);
    EXPECT_EQ(::lseek(file.fd(), 0, SEEK_END), 64);
}

TEST_F(Rows, Observed13_AppendAndAccessModeThree) {
    {
        const File file(lock(a), create_exclusive | O_APPEND);
        ASSERT_TRUE(file.is_open());
        EXPECT_EQ(::write(file.fd(), "AB", 2), 2);
        EXPECT_EQ(::write(file.fd(), "CD", 2), 2);
        EXPECT_EQ(file.read(0, 4), std::string("CD\0\0", 4)) << "taken as offset 0: there is nothing to append to";
    }
    const File file(lock(a), O_ACCMODE);
    ASSERT_TRUE(file.is_open());
    char byte = 0;
    EXPECT_EQ(failed(::read(file.fd(), &byte, 1)), EBADF);
    EXPECT_EQ(failed(::write(file.fd(), &byte, 1)), EBADF);
    make(b);
    EXPECT_EQ(File(lock(b), O_RDONLY | O_NONBLOCK).error(), ETXTBSY) << "access mode 3 takes EX";
}

TEST_F(Rows, Observed14_ValueLifetime) {
    {
        File file(lock(a), create_exclusive);
        ASSERT_TRUE(file.is_open());
        EXPECT_EQ(file.read(0), zeros) << "zeros at first";
        EXPECT_EQ(file.write(0, "kept"), 4);
        file.close();
        settle(a);
    }
    make(b);
    EXPECT_EQ(File(lock(a), O_RDONLY).read(0, 4), "kept") << "kept over close";
    EXPECT_EQ(File(lock(b), O_RDONLY).read(0, 4), "kept");
    settle(b);
    ASSERT_EQ(failed(::unlink(lock(a).c_str())), 0);
    make(a);
    EXPECT_EQ(File(lock(a), O_RDONLY).read(0, 4), "kept") << "as long as any node keeps the file";
    settle(a);
    ASSERT_EQ(failed(::unlink(lock(a).c_str())), 0);
    ASSERT_EQ(failed(::unlink(lock(b).c_str())), 0);
}

TEST_F(Rows, Observed14_KilledHolderLosesNothing) {
    make(b);
    Client holder;
    ASSERT_GE(holder.open(lock(a), create_exclusive), 0);
    EXPECT_EQ(File(lock(a), O_RDWR).write(0, "alive"), 5);
    holder.kill();
    settle(a);
    EXPECT_EQ(File(lock(b), O_RDONLY | O_NONBLOCK).read(0, 5), "alive");
}

TEST_F(Rows, Observed15_DeadExclusiveHolderLeavesNoValidValue) {
    {
        File file(lock(a), create_exclusive);
        EXPECT_EQ(file.write(0, "before"), 6);
        file.close();
        settle(a);
    }
    Client holder;   // on B, so that no descriptor of the test itself is on the mount that dies
    ASSERT_GE(holder.open(lock(b), create_exclusive), 0);
    if (!mounts().kill_b()) GTEST_SKIP() << "SDLM_TEST_KILL_B is not set: B's daemon cannot be killed";
    {
        const File file(lock(a), O_RDWR);
        ASSERT_TRUE(file.is_open()) << "granted after B's death";
        EXPECT_EQ(file.read(0), "") << "not valid: 0 bytes";
        EXPECT_EQ(file.write(0, "again"), 5);
        EXPECT_EQ(file.read(0, 6), std::string("again\0", 6));
    }
    holder.kill();
    mounts().restart_b();
}

TEST_F(Rows, Observed15_DeadSharedHolderLosesNothing) {
    {
        File file(lock(a), create_exclusive);
        EXPECT_EQ(file.write(0, "before"), 6);
        file.close();
        settle(a);
    }
    Client holder;
    ASSERT_GE(holder.open(lock(b), O_RDONLY | O_CREAT), 0);
    if (!mounts().kill_b()) GTEST_SKIP() << "SDLM_TEST_KILL_B is not set: B's daemon cannot be killed";
    EXPECT_EQ(File(lock(a), O_RDWR).read(0, 6), "before");
    holder.kill();
    mounts().restart_b();
}

}  // namespace sdlm::fs::test
