// SPDX-License-Identifier: LGPL-2.1-or-later
// The tests' own disk: each fault does what it says, through the file and through a loop device over it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <future>
#include <stdexcept>

#include "tests/support/fault_disk.hpp"
#include "tests/support/forked_program.hpp"
#include "tests/support/loop_device.hpp"
#include "tests/support/temp_dir.hpp"

namespace sdlm {
namespace {

constexpr std::size_t block = 512;
constexpr std::size_t page = 4096;
constexpr std::uint64_t image_bytes = 1024 * 1024;

struct Aligned {
    Aligned() : bytes(static_cast<char*>(std::aligned_alloc(page, 2 * page))) {}
    ~Aligned() { std::free(bytes); }
    Aligned(const Aligned&) = delete;
    Aligned& operator=(const Aligned&) = delete;
    char* bytes;
};

class FaultDiskTest : public testing::Test {
protected:
    void SetUp() override {
        if (::access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "no access to /dev/fuse";
        backing_ = dir_.make_file("backing", image_bytes);
        disk_ = std::make_unique<test::FaultDisk>(backing_, dir_.file("mnt"));
        open(disk_->image());
    }
    void TearDown() override { ::close(fd_); }
    void open(const std::string& path) {
        fd_ = ::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
        ASSERT_GE(fd_, 0) << path << ": " << std::strerror(errno);
    }
    // 0 or errno.
    int write(std::uint64_t at, char value, std::size_t bytes = block) const {
        const Aligned buffer;
        std::memset(buffer.bytes, value, bytes);
        const ssize_t n = ::pwrite(fd_, buffer.bytes, bytes, static_cast<off_t>(at));
        return n == static_cast<ssize_t>(bytes) ? 0 : n < 0 ? errno : -1;
    }
    int read(std::uint64_t at, char& value) const {
        const Aligned buffer;
        const ssize_t n = ::pread(fd_, buffer.bytes, block, static_cast<off_t>(at));
        value = buffer.bytes[block - 1];
        return n == static_cast<ssize_t>(block) ? 0 : n < 0 ? errno : -1;
    }
    // What lies in the backing file.
    char landed(std::uint64_t at) const {
        const int fd = ::open(backing_.c_str(), O_RDONLY | O_CLOEXEC);
        char value = '?';
        if (::pread(fd, &value, 1, static_cast<off_t>(at)) != 1) value = '!';
        ::close(fd);
        return value;
    }
    void until(const std::function<bool()>& condition) const {
        for (int i = 0; i < 3000 && !condition(); ++i) ::usleep(10'000);
        ASSERT_TRUE(condition());
    }
    test::TempDir dir_;
    std::string backing_;
    std::unique_ptr<test::FaultDisk> disk_;
    int fd_ = -1;
};

TEST_F(FaultDiskTest, WithoutRulesItIsADisk) {
    EXPECT_EQ(write(4096, 'a'), 0);
    char value = 0;
    EXPECT_EQ(read(4096, value), 0);
    EXPECT_EQ(value, 'a');
    EXPECT_EQ(landed(4096), 'a');
    EXPECT_EQ(disk_->count("writes"), 1U);
    EXPECT_EQ(disk_->count("reads"), 1U);
}

TEST_F(FaultDiskTest, ErrorsHitTheirRangeAndDirectionOnly) {
    char value = 0;
    const unsigned rule = disk_->inject("fail on=writes at=4096 bytes=512 error=ENOSPC");
    EXPECT_EQ(write(4096, 'a'), ENOSPC);
    EXPECT_EQ(write(4608, 'b'), 0);
    EXPECT_EQ(read(4096, value), 0);
    EXPECT_EQ(landed(4096), '\0');
    EXPECT_EQ(disk_->hits(rule), 1U);
    disk_->clear(rule);
    EXPECT_EQ(write(4096, 'c'), 0);
    disk_->inject("fail on=reads count=1");
    EXPECT_EQ(read(4096, value), EIO);
    EXPECT_EQ(read(4096, value), 0);
}

TEST_F(FaultDiskTest, WritesThatLieDropTearAndMisdirect) {
    disk_->inject("fail_landed at=0 bytes=512");
    EXPECT_EQ(write(0, 'a'), EIO);
    EXPECT_EQ(landed(0), 'a');
    disk_->inject("drop at=4096 bytes=512 count=1");
    EXPECT_EQ(write(4096, 'b'), 0);
    EXPECT_EQ(landed(4096), '\0');
    disk_->inject("tear at=8192 bytes=4096 keep=512");
    EXPECT_EQ(write(8192, 'c', page), 0);
    EXPECT_EQ(landed(8192 + 511), 'c');
    EXPECT_EQ(landed(8192 + 512), '\0');
    disk_->inject("misdirect at=16384 bytes=512 by=-512");
    EXPECT_EQ(write(16384, 'd'), 0);
    EXPECT_EQ(landed(16384), '\0');
    EXPECT_EQ(landed(16384 - 512), 'd');
}

TEST_F(FaultDiskTest, ABadBlockIsRepairedByItsNextWrite) {
    EXPECT_EQ(write(4096, 'a'), 0);
    disk_->inject("corrupt at=4096 bytes=512 until=write");
    char value = 0;
    EXPECT_EQ(read(4096, value), 0);
    EXPECT_EQ(value, static_cast<char>(~'a'));
    EXPECT_EQ(write(4096, 'b'), 0);
    EXPECT_EQ(read(4096, value), 0);
    EXPECT_EQ(value, 'b');
}

TEST_F(FaultDiskTest, WhatHangsIsAnsweredWhenTheRuleGoes) {
    const unsigned rule = disk_->inject("hang on=writes");
    disk_->inject("hang on=reads landed=1");
    auto writer = std::async(std::launch::async, [&] { return write(4096, 'a'); });
    until([&] { return disk_->count("hung") == 1; });
    EXPECT_EQ(landed(4096), '\0');
    EXPECT_EQ(writer.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
    disk_->clear(rule);
    EXPECT_EQ(writer.get(), 0);
    EXPECT_EQ(landed(4096), 'a');
    disk_->inject("hang landed=1");
    auto other = std::async(std::launch::async, [&] { return write(4096, 'b'); });
    until([&] { return disk_->count("hung") == 1; });
    EXPECT_EQ(landed(4096), 'b');
    disk_->clear();
    EXPECT_EQ(other.get(), 0);
}

TEST_F(FaultDiskTest, ADelayedRequestHoldsUpNoOther) {
    disk_->inject("delay ms=300 at=0 bytes=512");
    auto slow = std::async(std::launch::async, [&] {
        char value = 0;
        return read(0, value);
    });
    until([&] { return disk_->count("delayed") == 1; });
    char value = 0;
    EXPECT_EQ(read(4096, value), 0);
    EXPECT_EQ(disk_->count("delayed"), 1U);
    EXPECT_EQ(slow.get(), 0);
}

// The write of a dead process lands later.
TEST_F(FaultDiskTest, AKilledProgramIsLetGo) {
    const unsigned rule = disk_->inject("hang on=writes");
    test::ForkedProgram program([&] { return write(4096, 'a'); }, {});
    until([&] { return disk_->count("hung") == 1; });
    program.kill(SIGKILL);
    EXPECT_EQ(program.wait(), -SIGKILL);
    EXPECT_EQ(landed(4096), '\0');
    disk_->clear(rule);
    EXPECT_EQ(landed(4096), 'a');
}

TEST_F(FaultDiskTest, ItsEndLeavesNobodyHanging) {
    for (const bool killed : {false, true}) {
        if (killed) {
            ::close(fd_);
            disk_ = std::make_unique<test::FaultDisk>(backing_, dir_.file("other"));
            open(disk_->image());
        }
        disk_->inject("hang");
        auto reader = std::async(std::launch::async, [&] {
            char value = 0;
            return read(0, value);
        });
        until([&] { return disk_->count("hung") == 1; });
        if (killed) disk_->kill();
        disk_.reset();
        EXPECT_NE(reader.get(), 0);
    }
}

TEST_F(FaultDiskTest, ItShrinksChangesAndVanishes) {
    char value = 0;
    disk_->truncate(8192);
    EXPECT_EQ(read(8192, value), -1);
    EXPECT_EQ(write(8192, 'a'), ENOSPC);
    EXPECT_EQ(write(4096, 'a'), 0);
    disk_->swap(dir_.make_file("other-backing", image_bytes));
    EXPECT_EQ(read(4096, value), 0);
    EXPECT_EQ(value, '\0');
    disk_->vanish();
    EXPECT_EQ(read(4096, value), ENODEV);
    EXPECT_EQ(write(4096, 'a'), ENODEV);
}

TEST_F(FaultDiskTest, ALoopDeviceOverItMeetsTheFaults) {
    std::string reason;
    const auto loop = test::LoopDevice::attach(disk_->image(), {}, reason);
    if (!loop) GTEST_SKIP() << reason;
    ::close(fd_);
    open(loop->path());
    EXPECT_EQ(write(4096, 'a'), 0);
    EXPECT_EQ(landed(4096), 'a');
    disk_->inject("fail on=writes at=4096 bytes=512 count=1");
    EXPECT_EQ(write(4096, 'b'), EIO);
    EXPECT_EQ(write(4096, 'b'), 0);
    disk_->inject("hang on=writes at=8192 bytes=512");
    auto writer = std::async(std::launch::async, [&] { return write(8192, 'c'); });
    until([&] { return disk_->count("hung") == 1; });
    disk_->clear();
    EXPECT_EQ(writer.get(), 0);
}

TEST_F(FaultDiskTest, BadCommandsAreRefused) {
    for (const char* rule :
         {"explode", "fail error=EGOOD", "hang at=x", "drop on=nothing", "delay keep=1", "tear keep"})
        EXPECT_THROW(disk_->inject(rule), std::runtime_error) << rule;
    EXPECT_THROW(disk_->clear(99), std::runtime_error);
    EXPECT_THROW(disk_->swap("/nowhere/at/all"), std::runtime_error);
}

}  // namespace
}  // namespace sdlm
