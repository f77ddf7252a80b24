// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "disk/io/block_device.hpp"
#include "disk/io/uring_setup.hpp"
#include "tests/support/loop_device.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/io/reactor_fixture.hpp"

namespace sdlm::disk {
namespace {

constexpr std::size_t block = 4096;

class ReactorDisk : public ReactorTest {
protected:
    void fill(IoBuffer buffer, unsigned seed) {
        for (std::size_t i = 0; i < block; ++i) buffer.bytes[i] = static_cast<std::byte>((i + seed) & 0xff);
    }
    bool filled(IoBuffer buffer, unsigned seed) {
        for (std::size_t i = 0; i < block; ++i) {
            if (buffer.bytes[i] != static_cast<std::byte>((i + seed) & 0xff)) return false;
        }
        return true;
    }

    // Writes `count` blocks with all buffers at once, then reads them back, more requests than the ring has entries.
    void write_and_read_back(int fd, unsigned count) {
        unsigned written = 0;
        unsigned good = 0;
        unsigned next = 0;
        const auto fill_pipe = [&](const auto& start) {
            while (next < count) {
                const IoBuffer buffer = reactor_->take_buffer();
                if (buffer.bytes.empty()) return;
                start(next++, buffer);
            }
        };
        std::function<void(unsigned, IoBuffer)> start_write = [&](unsigned number, IoBuffer buffer) {
            fill(buffer, number);
            reactor_->write(fd, number * block, buffer, block, [&, buffer](Result<std::size_t> result) {
                ASSERT_TRUE(result) << describe(result.error());
                EXPECT_EQ(*result, block);
                reactor_->give_buffer(buffer);
                ++written;
                fill_pipe(start_write);
            });
        };
        fill_pipe(start_write);
        run_until([&] { return written == count; });
        next = 0;
        unsigned read = 0;
        std::function<void(unsigned, IoBuffer)> start_read = [&](unsigned number, IoBuffer buffer) {
            std::memset(buffer.bytes.data(), 0xee, block);
            reactor_->read(fd, number * block, buffer, block, [&, buffer, number](Result<std::size_t> result) {
                ASSERT_TRUE(result) << describe(result.error());
                if (filled(buffer, number)) ++good;
                reactor_->give_buffer(buffer);
                ++read;
                fill_pipe(start_read);
            });
        };
        fill_pipe(start_read);
        run_until([&] { return read == count; });
        EXPECT_EQ(good, count);
    }

    test::TempDir dir_;
};

TEST_F(ReactorDisk, FileKeepsWhatWasWritten) {
    create({.entries = 8, .buffer_bytes = block, .buffer_count = 4});
    auto device = BlockDevice::open(dir_.make_file("image", 64 * block), {.writable = true});
    ASSERT_TRUE(device);
    ASSERT_TRUE(reactor_->register_file(device->fd()));
    write_and_read_back(device->fd(), 64);
}

TEST_F(ReactorDisk, MoreRequestsThanTheRingHasRoomFor) {
    create({.entries = 4, .buffer_bytes = block, .buffer_count = 512});
    auto device = BlockDevice::open(dir_.make_file("image", 1024 * block), {.writable = true});
    ASSERT_TRUE(device);
    write_and_read_back(device->fd(), 1024);      // not registered: the plain path
}

class ReactorOnLoop : public ReactorDisk, public testing::WithParamInterface<std::uint32_t> {};

TEST_P(ReactorOnLoop, DeviceKeepsWhatWasWritten) {
    create({.entries = 16, .buffer_bytes = block, .buffer_count = 32});
    std::string reason;
    const std::string file = dir_.make_file("image", 256 * block);
    const auto loop = test::LoopDevice::attach(file, {.block_bytes = GetParam()}, reason);
    if (loop == nullptr) GTEST_SKIP() << reason;
    auto device = BlockDevice::open(loop->path(), {.writable = true});
    ASSERT_TRUE(device);
    ASSERT_TRUE(reactor_->register_file(device->fd()));
    write_and_read_back(device->fd(), 256);

    // A part of a block is the device's error, with its offset.
    const IoBuffer buffer = reactor_->take_buffer();
    Result<std::size_t> result = std::size_t{0};
    bool done = false;
    reactor_->write(device->fd(), GetParam(), buffer, GetParam() / 2, [&](Result<std::size_t> r) {
        result = r;
        done = true;
    });
    run_until([&] { return done; });
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().os_errno, EINVAL);
    EXPECT_EQ(result.error().offset, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Blocks, ReactorOnLoop, testing::Values(512U, 4096U));

TEST_F(ReactorDisk, TheEndOfTheDeviceIsAnError) {
    create({.entries = 8, .buffer_bytes = 4 * block, .buffer_count = 2});
    auto device = BlockDevice::open(dir_.make_file("image", 4 * block), {});
    ASSERT_TRUE(device);
    std::vector<Result<std::size_t>> results;
    const auto note = [&](Result<std::size_t> result) { results.push_back(result); };
    reactor_->read(device->fd(), 3 * block, reactor_->take_buffer(), 4 * block, note);      // one block is there
    run_until([&] { return results.size() == 1; });
    reactor_->read(device->fd(), 64 * block, reactor_->take_buffer(), block, note);
    run_until([&] { return results.size() == 2; });
    ASSERT_FALSE(results[0]);
    EXPECT_EQ(results[0].error().code, Errc::short_transfer);
    EXPECT_EQ(results[0].error().offset, 4 * block);
    ASSERT_FALSE(results[1]);
    EXPECT_EQ(results[1].error().code, Errc::short_transfer);
}

TEST_F(ReactorDisk, ErrorsCarryTheKernelsNumber) {
    create({.entries = 8, .buffer_bytes = block, .buffer_count = 2});
    auto device = BlockDevice::open(dir_.make_file("image", block), {});
    ASSERT_TRUE(device);
    const int closed = ::dup(device->fd());
    ::close(closed);
    EXPECT_FALSE(reactor_->register_file(closed));
    std::vector<Error> errors;
    const auto note = [&](Result<std::size_t> result) {
        errors.push_back(result ? Error{Errc::exists} : result.error());
    };
    reactor_->read(closed, 0, reactor_->take_buffer(), block, note);
    run_until([&] { return errors.size() == 1; });
    reactor_->write(device->fd(), 0, reactor_->take_buffer(), block, note);      // opened for reading
    run_until([&] { return errors.size() == 2; });
    EXPECT_EQ(errors[0].os_errno, EBADF);
    EXPECT_EQ(errors[1].os_errno, EBADF);
    EXPECT_EQ(errors[1].code, Errc::io);
}

TEST_F(ReactorDisk, ShortTransfersAreContinued) {
    create({.entries = 8, .buffer_bytes = block, .buffer_count = 1});
    int pipe[2];
    ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
    const std::string first(1000, 'a');
    const std::string second(500, 'b');
    ASSERT_EQ(::write(pipe[1], first.data(), first.size()), 1000);
    const IoBuffer buffer = reactor_->take_buffer();
    Result<std::size_t> result = std::size_t{0};
    bool done = false;
    reactor_->read(pipe[0], 0, buffer, 1500, [&](Result<std::size_t> r) {
        result = r;
        done = true;
    });
    run_rounds(3);
    EXPECT_FALSE(done);
    ASSERT_EQ(::write(pipe[1], second.data(), second.size()), 500);
    run_until([&] { return done; });
    ASSERT_TRUE(result);
    EXPECT_EQ(*result, 1500U);
    EXPECT_EQ(std::memcmp(buffer.bytes.data(), (first + second).data(), 1500), 0);
    ::close(pipe[0]);
    ::close(pipe[1]);
}

// The kernel may wait by itself or say EAGAIN, from version to version: no error reaches the client.
TEST_F(ReactorDisk, NonBlockingDescriptorsAreWaitedFor) {
    create({.entries = 8, .buffer_bytes = block, .buffer_count = 1});
    int pipe[2];
    ASSERT_EQ(::pipe2(pipe, O_CLOEXEC | O_NONBLOCK), 0);
    Result<std::size_t> result = std::size_t{0};
    bool done = false;
    reactor_->read(pipe[0], 0, reactor_->take_buffer(), 4, [&](Result<std::size_t> r) {
        result = r;
        done = true;
    });
    run_rounds(5);
    EXPECT_FALSE(done);
    ASSERT_EQ(::write(pipe[1], "abcd", 4), 4);
    run_until([&] { return done; });
    ASSERT_TRUE(result) << describe(result.error());
    EXPECT_EQ(*result, 4U);
    ::close(pipe[0]);
    ::close(pipe[1]);
}

TEST_F(ReactorDisk, BuffersAreOwnedByOneSideAtATime) {
    create({.entries = 8, .buffer_bytes = 512, .buffer_count = 2});
    const IoBuffer a = reactor_->take_buffer();
    const IoBuffer b = reactor_->take_buffer();
    EXPECT_EQ(a.bytes.size(), 4096U);
    EXPECT_NE(a.bytes.data(), b.bytes.data());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.bytes.data()) % 4096, 0U);
    EXPECT_TRUE(reactor_->take_buffer().bytes.empty());
    reactor_->give_buffer(a);
    EXPECT_EQ(reactor_->take_buffer().bytes.data(), a.bytes.data());
    reactor_->give_buffer(b);
    EXPECT_DEATH(reactor_->give_buffer(b), "");
    reactor_->read(0, 0, a, 512, [](const Result<std::size_t>&) {});
    EXPECT_DEATH(reactor_->give_buffer(a), "");
}

TEST_F(ReactorDisk, AnUnregisteredDescriptorsNumberMayComeBack) {
    create({.entries = 8, .buffer_bytes = block, .buffer_count = 1});
    const std::string first = dir_.make_file("first", block);
    const std::string second = dir_.file("second");
    test::write_file(second, std::string(block, 'x'));
    int fd = ::open(first.c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_TRUE(reactor_->register_file(fd));
    reactor_->unregister_file(fd);
    ::close(fd);
    const int again = ::open(second.c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_EQ(again, fd);
    const IoBuffer buffer = reactor_->take_buffer();
    bool done = false;
    reactor_->read(again, 0, buffer, block, [&](const Result<std::size_t>& result) { done = result.has_value(); });
    run_until([&] { return done; });
    EXPECT_EQ(buffer.bytes[0], std::byte{'x'});
    ::close(again);
}

TEST(UringSetup, EveryRefusalSaysWhatToDo) {
    EXPECT_NE(setup_failure(ENOSYS, -1).find("5.11"), std::string::npos);
    EXPECT_NE(setup_failure(EPERM, 2).find("kernel.io_uring_disabled=2"), std::string::npos);
    EXPECT_NE(setup_failure(EPERM, 1).find("io_uring_group"), std::string::npos);
    EXPECT_NE(setup_failure(EPERM, 0).find("seccomp"), std::string::npos);
    EXPECT_NE(setup_failure(ENOMEM, 0).find("RLIMIT_MEMLOCK"), std::string::npos);
    EXPECT_NE(setup_failure(EMFILE, 0).find("RLIMIT_NOFILE"), std::string::npos);
}

}  // namespace
}  // namespace sdlm::disk
