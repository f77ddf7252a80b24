// SPDX-License-Identifier: LGPL-2.1-or-later
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

#include "tests/integration/dlmfs/rows.hpp"

namespace sdlm::fs::test {

constexpr int create_exclusive = O_RDWR | O_CREAT;
constexpr int marked = POLLIN | POLLRDNORM;
static_assert(marked == 0x41);

TEST_F(Rows, Observed07_PollShowsTheWaiter) {
    make(b);
    const File holder(lock(a), create_exclusive);
    const File beside(lock(a), O_RDONLY);
    EXPECT_EQ(holder.poll(), 0) << "never writable, not readable while nobody waits";
    Client waiter;
    waiter.begin_open(lock(b), O_RDONLY);
    ASSERT_TRUE(becomes(holder, marked));
    EXPECT_EQ(beside.poll(), marked) << "every descriptor of the lock";
    EXPECT_EQ(holder.read(0).size(), 64U);
    EXPECT_EQ(holder.poll(), marked) << "not used up by reading";
    waiter.kill();
    EXPECT_TRUE(becomes(holder, 0)) << "goes with the last waiter";
    EXPECT_EQ(beside.poll(), 0);
}

TEST_F(Rows, Observed07_SleepingPollIsWoken) {
    make(b);
    Client holder;
    const int fd = holder.open(lock(a), create_exclusive);
    ASSERT_GE(fd, 0);
    holder.begin_wait_readable(fd);
    settle(a);
    Client waiter;
    waiter.begin_open(lock(b), O_RDWR);
    EXPECT_EQ(holder.finish(), POLLIN);
    EXPECT_EQ(holder.close(fd), 0);
    EXPECT_GE(waiter.finish(), 0);
}

TEST_F(Rows, Observed07_EpollIsWokenEachTime) {
    make(b);
    const File holder(lock(a), create_exclusive);
    const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{EPOLLIN, {}};
    ASSERT_EQ(::epoll_ctl(epoll, EPOLL_CTL_ADD, holder.fd(), &event), 0);
    for (int round = 0; round < 3; ++round) {
        EXPECT_EQ(::epoll_wait(epoll, &event, 1, 0), 0);
        Client waiter;
        waiter.begin_open(lock(b), O_RDWR);
        EXPECT_EQ(::epoll_wait(epoll, &event, 1, watchdog_seconds() * 1000), 1) << "round " << round;
        waiter.kill();
        ASSERT_TRUE(becomes(holder, 0));
    }
    ::close(epoll);
}

TEST_F(Rows, Observed07_RefusedTrylocksDoNotShow) {
    make(b);
    const File holder(lock(a), create_exclusive);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(File(lock(b), O_RDWR | O_NONBLOCK).error(), ETXTBSY);
    settle(b);
    settle(a);
    EXPECT_EQ(holder.poll(), 0);
}

TEST_F(Rows, Observed07_TheMarkGoesWithWhatWasInTheWay) {
    make(b);
    File writer(lock(a), create_exclusive);
    const File reader(lock(a), O_RDONLY);
    Client waiter;
    waiter.begin_open(lock(b), O_RDONLY);
    ASSERT_TRUE(becomes(reader, marked));
    writer.close();
    EXPECT_GE(waiter.finish(), 0);
    EXPECT_TRUE(becomes(reader, 0)) << "PR stays beside PR";
}

}  // namespace sdlm::fs::test
