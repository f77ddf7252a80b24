// SPDX-License-Identifier: LGPL-2.1-or-later
#include <dirent.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "tests/integration/dlmfs/rows.hpp"

namespace sdlm::fs::test {

constexpr int create_exclusive = O_RDWR | O_CREAT;

namespace {

std::string names(const std::string& path) {
    std::string out;
    DIR* directory = ::opendir(path.c_str());
    if (directory == nullptr) return "E" + std::to_string(errno);
    while (const dirent* entry = ::readdir(directory)) {
        const std::string name = entry->d_name;
        if (name != "." && name != "..") out += name + " ";
    }
    ::closedir(directory);
    return out;
}

struct stat status_of(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status;
}

}  // namespace

TEST_F(Rows, Observed09_UnlinkOfAnOpenLock) {
    {
        File file(lock(a), O_RDONLY | O_CREAT);
        ASSERT_TRUE(file.is_open());
        EXPECT_EQ(failed(::unlink(lock(a).c_str())), EBUSY);
        const int copy = ::dup(file.fd());
        file.close();
        settle(a);
        EXPECT_EQ(failed(::unlink(lock(a).c_str())), EBUSY) << "a duplicate is open";
        ::close(copy);
        EXPECT_EQ(failed(::unlink(lock(a).c_str())), 0);
    }
    make(a);
    make(b);
    const File other(lock(b), O_RDWR);
    EXPECT_EQ(failed(::unlink(lock(a).c_str())), 0) << "other nodes' holds do not matter";
    make(a, "second");
    const int path_only = ::open(lock(a, "second").c_str(), O_PATH);
    EXPECT_EQ(failed(::unlink(lock(a, "second").c_str())), 0) << "O_PATH is no open";
    struct stat status {};
    EXPECT_EQ(::fstat(path_only, &status), 0);
    EXPECT_EQ(status.st_nlink, 0U);
    ::close(path_only);
    EXPECT_EQ(names(domain(a)), "") << "no .fuse_hidden files";
}

TEST_F(Rows, Observed09_UnlinkWhileALocalOpenWaits) {
    make(a);
    File holder(lock(b), create_exclusive);
    Client waiter;
    waiter.begin_open(lock(a), O_RDWR);
    ASSERT_TRUE(becomes(holder, POLLIN | POLLRDNORM));
    EXPECT_EQ(failed(::unlink(lock(a).c_str())), EBUSY) << "and it waits for nothing";
    holder.close();
    EXPECT_GE(waiter.finish(), 0) << "the open is not disturbed";
}

TEST_F(Rows, Observed10_Names) {
    const std::string long_domain = root(a) + "/" + std::string(63, 'n');
    EXPECT_EQ(failed(::mkdir(long_domain.c_str(), 0755)), 0);
    EXPECT_EQ(failed(::rmdir(long_domain.c_str())), 0);
    EXPECT_EQ(failed(::mkdir((long_domain + "n").c_str(), 0755)), EINVAL);
    EXPECT_EQ(failed(::mkdir((root(a) + "/" + std::string(255, 'n')).c_str(), 0755)), EINVAL);
    EXPECT_EQ(failed(::mkdir((root(a) + "/" + std::string(256, 'n')).c_str(), 0755)), ENAMETOOLONG);
    EXPECT_EQ(failed(::mkdir((root(a) + "/line\nbreak").c_str(), 0755)), EINVAL) << "control characters are refused";
    EXPECT_TRUE(File(lock(a, std::string(31, 'n')), create_exclusive).is_open());
    EXPECT_EQ(File(lock(a, std::string(32, 'n')), create_exclusive).error(), EINVAL);
    EXPECT_EQ(File(lock(a, std::string(256, 'n')), create_exclusive).error(), ENAMETOOLONG);
    EXPECT_EQ(File(lock(a, "$name"), create_exclusive).error(), EINVAL);
    EXPECT_EQ(File(lock(a, "$name"), O_RDWR).error(), ENOENT) << "on create only";
    struct stat status {};
    EXPECT_EQ(failed(::stat(lock(a, std::string(32, 'n')).c_str(), &status)), ENOENT);
    EXPECT_EQ(failed(::stat(lock(a, std::string(256, 'n')).c_str(), &status)), ENAMETOOLONG);
}

TEST_F(Rows, Observed10_ARefusedCreatingOpenLeavesTheName) {
    const File holder(lock(b), create_exclusive);
    EXPECT_EQ(File(lock(a), create_exclusive | O_NONBLOCK).error(), ETXTBSY);
    EXPECT_EQ(names(domain(a)), "lock ");
    EXPECT_EQ(File(lock(a), create_exclusive | O_EXCL | O_NONBLOCK).error(), EEXIST);
}

TEST_F(Rows, Observed11_ErrorsByPlace) {
    make(a);
    const std::string at_root = root(a) + "/x";
    EXPECT_EQ(File(at_root, create_exclusive).error(), EACCES);
    EXPECT_EQ(failed(::mknod(at_root.c_str(), S_IFREG | 0600, 0)), EACCES);
    EXPECT_EQ(failed(::mkdir(lock(a, "sub").c_str(), 0755)), EPERM);
    EXPECT_EQ(failed(::mkfifo(lock(a, "fifo").c_str(), 0600)), EPERM);
    EXPECT_EQ(failed(::mknod(lock(a, "socket").c_str(), S_IFSOCK | 0600, 0)), EPERM);
    EXPECT_EQ(failed(::symlink("x", lock(a, "link").c_str())), EPERM);
    EXPECT_EQ(failed(::link(lock(a).c_str(), lock(a, "link").c_str())), EPERM);
    EXPECT_EQ(failed(::rename(lock(a).c_str(), lock(a, "other").c_str())), EPERM);
    EXPECT_EQ(failed(::rename(domain(a).c_str(), at_root.c_str())), EPERM);
    EXPECT_EQ(failed(::rename(lock(a).c_str(), lock(a).c_str())), 0);
    EXPECT_EQ(failed(::symlink("x", lock(a).c_str())), EEXIST);
    EXPECT_EQ(failed(::link(lock(a).c_str(), lock(a).c_str())), EEXIST);
    EXPECT_EQ(failed(::mknod(lock(a).c_str(), S_IFREG | 0600, 0)), EEXIST);
    EXPECT_EQ(failed(::mkdir(domain(a).c_str(), 0755)), EEXIST);
    EXPECT_EQ(failed(::rmdir(domain(a).c_str())), ENOTEMPTY);
    EXPECT_EQ(failed(::rmdir(lock(a).c_str())), ENOTDIR);
    EXPECT_EQ(failed(::unlink(domain(a).c_str())), EISDIR);
    EXPECT_EQ(File(domain(a), O_TMPFILE | O_RDWR).error(), EOPNOTSUPP);
    EXPECT_EQ(File(lock(a) + "/below", create_exclusive).error(), ENOTDIR);
}

TEST_F(Rows, Observed11_MknodMakesALockThatIsNotHeld) {
    make(a);
    EXPECT_TRUE(File(lock(b), create_exclusive | O_NONBLOCK).is_open()) << "nobody holds it";
    settle(b);
    EXPECT_TRUE(File(lock(a), O_RDWR | O_NONBLOCK).is_open());
}

TEST_F(Rows, Observed12_WhatIsNotSupported) {
    const File file(lock(a), create_exclusive);
    ASSERT_TRUE(file.is_open());
    make(a, "second");
    const File second(lock(a, "second"), O_RDWR);
    EXPECT_EQ(failed(::fsync(file.fd())), EINVAL);
    EXPECT_EQ(failed(::fdatasync(file.fd())), EINVAL);
    EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file.fd(), 0), MAP_FAILED);
    EXPECT_EQ(errno, ENODEV);
    EXPECT_EQ(failed(::fallocate(file.fd(), 0, 0, 64)), EOPNOTSUPP);
    off64_t from = 0;
    off64_t to = 0;
    EXPECT_EQ(failed(::copy_file_range(file.fd(), &from, second.fd(), &to, 8, 0)), EINVAL) << "EXDEV in the kernel's";
    EXPECT_EQ(File(lock(a), O_RDWR | O_DIRECT).error(), EINVAL);
    EXPECT_EQ(failed(::setxattr(lock(a).c_str(), "user.x", "y", 1, 0)), EOPNOTSUPP);
    char value = 0;
    EXPECT_EQ(failed(::getxattr(lock(a).c_str(), "user.x", &value, 1)), EOPNOTSUPP);
    const File directory(domain(a), O_RDONLY | O_DIRECTORY);
    EXPECT_EQ(failed(::fsync(directory.fd())), 0);
}

TEST_F(Rows, Observed12_LocalFileLocksWork) {
    const File one(lock(a), create_exclusive);
    const File two(lock(a), O_RDWR);
    EXPECT_EQ(failed(::flock(one.fd(), LOCK_EX | LOCK_NB)), 0);
    EXPECT_EQ(failed(::flock(two.fd(), LOCK_EX | LOCK_NB)), EWOULDBLOCK);
    struct flock range {};
    range.l_type = F_WRLCK;
    EXPECT_EQ(failed(::fcntl(one.fd(), F_OFD_SETLK, &range)), 0);
    EXPECT_EQ(failed(::fcntl(two.fd(), F_OFD_SETLK, &range)), EAGAIN);
}

TEST_F(Rows, Observed16_NamesAreLocal) {
    {
        File file(lock(a), create_exclusive);
        EXPECT_EQ(file.write(0, "shared"), 6);
        EXPECT_EQ(names(domain(b)), "");
        EXPECT_EQ(File(lock(b), O_RDWR).error(), ENOENT);
        EXPECT_EQ(File(lock(b), create_exclusive | O_NONBLOCK).error(), ETXTBSY) << "the lock is shared all the same";
        EXPECT_EQ(names(domain(b)), "lock ");
    }
    settle(a);
    EXPECT_EQ(File(lock(b), O_RDONLY).read(0, 6), "shared");
    const std::string only_a = root(a) + "/" + domain_ + ".a";
    ASSERT_EQ(failed(::mkdir(only_a.c_str(), 0755)), 0);
    struct stat status {};
    EXPECT_EQ(failed(::stat((root(b) + "/" + domain_ + ".a").c_str(), &status)), ENOENT);
    EXPECT_EQ(failed(::rmdir(only_a.c_str())), 0);
}

TEST_F(Rows, Observed19_Statfs) {
    struct statvfs counts {};
    ASSERT_EQ(::statvfs(root(a).c_str(), &counts), 0);
    EXPECT_EQ(counts.f_namemax, 255U);
    EXPECT_EQ(counts.f_bsize, static_cast<unsigned long>(::sysconf(_SC_PAGESIZE)));
    EXPECT_EQ(counts.f_blocks + counts.f_bfree + counts.f_bavail + counts.f_files + counts.f_ffree, 0U);
    struct statfs status {};
    ASSERT_EQ(::statfs(root(a).c_str(), &status), 0);
    EXPECT_EQ(static_cast<std::uint64_t>(status.f_type), 0x65735546U) << "FUSE's own: no FUSE server can change it";
}

TEST_F(Rows, Observed19_Attributes) {
    const nlink_t before = status_of(root(a)).st_nlink;
    EXPECT_GE(before, 3U) << "2 and one for each domain";
    EXPECT_EQ(status_of(root(a)).st_mode & 07777, 0755U);
    const std::string second = domain(a) + ".second";
    ASSERT_EQ(failed(::mkdir(second.c_str(), 0700)), 0);
    EXPECT_EQ(status_of(root(a)).st_nlink, before + 1);
    EXPECT_EQ(status_of(second).st_nlink, 2U);
    EXPECT_EQ(status_of(second).st_size, 0);
    EXPECT_EQ(status_of(second).st_mode, mode_t{S_IFDIR | 0700});
    EXPECT_EQ(failed(::rmdir(second.c_str())), 0);
    EXPECT_EQ(status_of(root(a)).st_nlink, before);
    ASSERT_EQ(failed(::mknod(lock(a).c_str(), S_IFREG | 0666, 0)), 0);
    const struct stat file = status_of(lock(a));
    EXPECT_EQ(file.st_mode, mode_t{S_IFREG | 0644}) << "the umask counts";
    EXPECT_EQ(file.st_nlink, 1U);
    EXPECT_EQ(file.st_size, 64);
    EXPECT_EQ(file.st_blocks, 0);
}

TEST_F(Rows, Observed19_Times) {
    const std::array<timespec, 2> old{timespec{100, 5}, timespec{200, 7}};
    ASSERT_EQ(failed(::utimensat(AT_FDCWD, domain(a).c_str(), old.data(), 0)), 0);
    EXPECT_EQ(status_of(domain(a)).st_mtim.tv_sec, 200);
    EXPECT_EQ(status_of(domain(a)).st_mtim.tv_nsec, 0) << "whole seconds";
    {
        const File file(lock(a), create_exclusive);
        ASSERT_EQ(failed(::utimensat(AT_FDCWD, lock(a).c_str(), old.data(), 0)), 0);
        EXPECT_EQ(file.write(0, "x"), 1);
        EXPECT_EQ(file.read(0, 1), "x");
        EXPECT_EQ(status_of(lock(a)).st_mtim.tv_sec, 200) << "reading and writing the value change no times";
        EXPECT_EQ(status_of(lock(a)).st_atim.tv_sec, 100);
    }
    EXPECT_EQ(status_of(domain(a)).st_mtim.tv_sec, 200) << "creating leaves the domain's time alone";
    ASSERT_EQ(failed(::unlink(lock(a).c_str())), 0);
    EXPECT_GT(status_of(domain(a)).st_mtim.tv_sec, 200) << "unlinking does not";
}

TEST_F(Rows, Observed19_NewestFirst) {
    for (const char* name : {"one", "two", "three"}) make(a, name);
    EXPECT_EQ(names(domain(a)), "three two one ");
}

TEST_F(Rows, Observed19_MkdirWithoutHeartbeat) {
    if (!mounts().fake()) GTEST_SKIP() << "needs a mount whose node is not live: only the fake cluster can do that";
    mounts().command("offline 1");
    EXPECT_EQ(failed(::mkdir((root(b) + "/offline").c_str(), 0755)), EINVAL);
    struct stat status {};
    EXPECT_EQ(failed(::stat((root(b) + "/offline").c_str(), &status)), ENOENT);
    mounts().restart_b();
}

TEST_F(Rows, Observed20_DestroyAsLibo2dlmDoes) {
    const std::string presence = ".0123456789abcdef";
    Client other;   // another context on the same node
    ASSERT_GE(other.open(lock(a, presence), O_RDONLY | O_CREAT), 0);
    for (int i = 0; i < 300; ++i) make(a, "lock" + std::to_string(i));
    const auto destroy = [&] {
        DIR* directory = ::opendir(domain(a).c_str());
        while (const dirent* entry = ::readdir(directory)) ::unlink(lock(a, entry->d_name).c_str());
        ::closedir(directory);
    };
    destroy();
    EXPECT_EQ(names(domain(a)), presence + " ") << "removing while reading the directory skips nothing";
    EXPECT_EQ(failed(::unlink(lock(a, presence).c_str())), EBUSY);
    EXPECT_EQ(failed(::rmdir(domain(a).c_str())), ENOTEMPTY);
    other.kill();
    destroy();
    EXPECT_EQ(failed(::rmdir(domain(a).c_str())), 0);
}

}  // namespace sdlm::fs::test
