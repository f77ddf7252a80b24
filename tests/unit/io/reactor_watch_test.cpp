// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/support/temp_dir.hpp"
#include "tests/unit/io/reactor_fixture.hpp"

namespace sdlm::disk {
namespace {

class ReactorWatch : public ReactorTest {
protected:
    void SetUp() override { create({.entries = 8}); }
    static int event(unsigned value) { return ::eventfd(value, EFD_CLOEXEC | EFD_NONBLOCK); }
    static void take(int fd) {
        std::uint64_t value = 0;
        ASSERT_EQ(::read(fd, &value, sizeof value), 8);
    }
    static void raise(int fd) {
        const std::uint64_t one = 1;
        ASSERT_EQ(::write(fd, &one, sizeof one), 8);
    }
};

TEST_F(ReactorWatch, LevelTriggered) {
    const int fd = event(1);
    int calls = 0;
    reactor_->watch(fd, POLLIN, [&](std::uint32_t revents) {
        EXPECT_EQ(revents & POLLIN, static_cast<std::uint32_t>(POLLIN));
        if (++calls == 3) take(fd);
    });
    run_until([&] { return calls == 3; });
    run_rounds(5);
    EXPECT_EQ(calls, 3);
    raise(fd);
    run_until([&] { return calls == 4; });
    reactor_->unwatch(fd);
    run_rounds(3);
    EXPECT_EQ(calls, 4);
    ::close(fd);
}

TEST_F(ReactorWatch, PipeEndsAndHangup) {
    int pipe[2];
    ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
    std::uint32_t seen = 0;
    bool writable = false;
    reactor_->watch(pipe[0], POLLIN, [&](std::uint32_t revents) {
        seen |= revents;
        if ((revents & POLLHUP) != 0) reactor_->unwatch(pipe[0]);
    });
    reactor_->watch(pipe[1], POLLOUT, [&](std::uint32_t) {
        writable = true;
        reactor_->unwatch(pipe[1]);
        ::close(pipe[1]);
    });
    run_until([&] { return (seen & POLLHUP) != 0; });
    EXPECT_TRUE(writable);
    ::close(pipe[0]);
}

TEST_F(ReactorWatch, EndedInsideItsOwnCallback) {
    const int fd = event(1);
    int calls = 0;
    reactor_->watch(fd, POLLIN, [&, big = std::string(100, 'x')](std::uint32_t) {
        reactor_->unwatch(fd);
        calls += big.size() == 100 ? 1 : 1000;      // its captures are still there
    });
    run_until([&] { return calls > 0; });
    run_rounds(5);
    EXPECT_EQ(calls, 1);
    ::close(fd);
}

TEST_F(ReactorWatch, EndedInsideAnothersCallback) {
    const int a = event(1);
    const int b = event(1);
    int calls = 0;
    const auto first_ends_both = [&](std::uint32_t) {
        ++calls;
        reactor_->unwatch(a);
        reactor_->unwatch(b);
    };
    reactor_->watch(a, POLLIN, first_ends_both);
    reactor_->watch(b, POLLIN, first_ends_both);
    run_until([&] { return calls > 0; });
    run_rounds(5);
    EXPECT_EQ(calls, 1);
    ::close(a);
    ::close(b);
}

TEST_F(ReactorWatch, DescriptorNumberUsedAgain) {
    const int old_fd = event(0);
    int old_calls = 0;
    int new_calls = 0;
    reactor_->watch(old_fd, POLLIN, [&](std::uint32_t) { ++old_calls; });
    run_rounds(3);                                  // the kernel polls the old file
    const int keeper = ::dup(old_fd);               // the old file stays open, and becomes readable
    raise(keeper);
    reactor_->unwatch(old_fd);
    ::close(old_fd);
    const int new_fd = event(0);
    ASSERT_EQ(new_fd, old_fd);
    reactor_->watch(new_fd, POLLIN, [&](std::uint32_t) {
        ++new_calls;
        take(new_fd);
    });
    run_rounds(5);
    EXPECT_EQ(old_calls, 0);
    EXPECT_EQ(new_calls, 0);
    raise(new_fd);
    run_until([&] { return new_calls == 1; });
    EXPECT_EQ(old_calls, 0);
    reactor_->unwatch(new_fd);
    ::close(new_fd);
    ::close(keeper);
}

TEST_F(ReactorWatch, TheKernelLetsGoOfAnUnwatchedFile) {
    int pipe[2];
    ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
    reactor_->watch(pipe[0], POLLIN, [](std::uint32_t) {});
    run_rounds(3);
    reactor_->unwatch(pipe[0]);
    ::close(pipe[0]);
    run_rounds(3);
    pollfd writer{pipe[1], POLLOUT, 0};             // POLLERR: no reader is left
    ASSERT_EQ(::poll(&writer, 1, 20'000), 1);
    EXPECT_NE(writer.revents & POLLERR, 0);
    ::close(pipe[1]);
}

TEST_F(ReactorWatch, ReplacedInsideItsOwnCallback) {
    const int fd = event(1);
    std::vector<int> order;
    reactor_->watch(fd, POLLIN, [&](std::uint32_t) {
        order.push_back(1);
        reactor_->unwatch(fd);
        reactor_->watch(fd, POLLIN, [&](std::uint32_t) {
            order.push_back(2);
            take(fd);
        });
    });
    run_until([&] { return order.size() == 2; });
    run_rounds(4);
    EXPECT_EQ(order, (std::vector<int>{1, 2}));
    reactor_->unwatch(fd);
    ::close(fd);
}

TEST_F(ReactorWatch, ChangedEventsCount) {
    int pipe[2];
    ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
    int calls = 0;
    reactor_->watch(pipe[1], 0, [&](std::uint32_t) {
        if (++calls == 2) reactor_->change_watch(pipe[1], 0);
    });
    run_rounds(4);
    EXPECT_EQ(calls, 0);
    reactor_->change_watch(pipe[1], POLLOUT);
    run_until([&] { return calls == 2; });
    run_rounds(5);
    EXPECT_EQ(calls, 2);
    reactor_->unwatch(pipe[1]);
    ::close(pipe[0]);
    ::close(pipe[1]);
}

TEST_F(ReactorWatch, WhatCannotBePolledIsReportedOnce) {
    const test::TempDir dir;
    const int fd = ::open(dir.make_file("file", 10).c_str(), O_RDONLY | O_CLOEXEC);
    const int closed = ::dup(fd);
    ::close(closed);
    int calls = 0;
    reactor_->watch(closed, POLLIN, [&](std::uint32_t revents) {
        ++calls;
        EXPECT_NE(revents & POLLNVAL, 0U);
    });
    run_until([&] { return calls == 1; });
    run_rounds(5);
    EXPECT_EQ(calls, 1);
    reactor_->unwatch(closed);
    ::close(fd);
}

TEST_F(ReactorWatch, MoreWatchesThanTheRingHasRoomFor) {
    std::vector<int> fds;
    std::size_t ready = 0;
    for (int i = 0; i < 200; ++i) {
        const int fd = event(1);
        fds.push_back(fd);
        reactor_->watch(fd, POLLIN, [&, fd](std::uint32_t) {
            ++ready;
            take(fd);
        });
    }
    run_until([&] { return ready == fds.size(); });
    for (const int fd : fds) {
        reactor_->unwatch(fd);
        ::close(fd);
    }
    run_rounds(3);
}

TEST_F(ReactorWatch, PostedWorkRunsInOrderAndBeforeTheRoundsEnd) {
    std::string order;
    reactor_->post([&] { order += 'a'; });
    reactor_->post([&] {
        order += 'b';
        reactor_->post([&] { order += 'd'; });
    });
    reactor_->post([&] { order += 'c'; });
    reactor_->set_round_end([&] {
        order += '|';
        if (order.find('d') != std::string::npos) reactor_->stop();
        return never;
    });
    reactor_->run();
    EXPECT_EQ(order, "abc|d|");
}

TEST_F(ReactorWatch, WakesAtTheRoundEndsInstant) {
    int rounds = 0;
    const Instant wake = boottime_now() + milliseconds(30);
    reactor_->set_round_end([&] {
        ++rounds;
        EXPECT_LE((boottime_now() - reactor_->now()).ns, milliseconds(20'000).ns);
        if (reactor_->now() >= wake) reactor_->stop();
        return wake;
    });
    reactor_->run();
    EXPECT_GE(boottime_now(), wake);
    EXPECT_LE(rounds, 5);      // it waits, it does not spin
}

}  // namespace
}  // namespace sdlm::disk
