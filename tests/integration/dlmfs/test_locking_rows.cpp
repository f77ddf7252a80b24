// SPDX-License-Identifier: LGPL-2.1-or-later
#include <poll.h>

#include <cerrno>
#include <csignal>

#include "tests/integration/dlmfs/rows.hpp"

namespace sdlm::fs::test {

constexpr int create_shared = O_RDONLY | O_CREAT;
constexpr int create_exclusive = O_RDWR | O_CREAT;
constexpr int marked = POLLIN | POLLRDNORM;

TEST_F(Rows, Observed03_TrylockAndCachedModes) {
    cache(b, O_RDWR);
    {
        File file(lock(a), create_exclusive | O_NONBLOCK);
        EXPECT_TRUE(file.is_open()) << "B only caches EX: " << file.error();
        EXPECT_EQ(File(lock(b), O_RDONLY | O_NONBLOCK).error(), ETXTBSY) << "in use";
        EXPECT_EQ(File(lock(b), O_RDWR | O_NONBLOCK).error(), ETXTBSY);
    }
    settle(a);
    cache(b, O_RDONLY);
    EXPECT_TRUE(File(lock(a), O_RDONLY | O_NONBLOCK).is_open()) << "PR lets another PR in";
}

TEST_F(Rows, Observed04_NonblockNeverBlocks) {
    make(b);
    File holder(lock(a), create_shared);
    Client waiter;
    waiter.begin_open(lock(b), O_RDWR);
    ASSERT_TRUE(becomes(holder, marked));
    EXPECT_EQ(File(lock(a), O_RDONLY | O_NONBLOCK).error(), ETXTBSY) << "it would have to wait behind B";
    EXPECT_EQ(File(lock(a), O_RDWR | O_NONBLOCK).error(), ETXTBSY);
    expect_still_waiting(waiter);
    holder.close();
    EXPECT_GE(waiter.finish(), 0);
}

TEST_F(Rows, Observed04_NonblockBehindALocalRequestEnds) {
    make(b);
    File holder(lock(b), create_exclusive);
    Client waiter;
    waiter.begin_open(lock(a), create_exclusive);
    ASSERT_TRUE(becomes(holder, marked));
    EXPECT_EQ(File(lock(a), O_RDWR | O_NONBLOCK).error(), ETXTBSY) << "another program of this node is waiting already";
    expect_still_waiting(waiter);
    holder.close();
    EXPECT_GE(waiter.finish(), 0);
}

TEST_F(Rows, Observed05_SignalEndsABlockedOpen) {
    make(b);
    const File holder(lock(a), create_exclusive);
    Client waiter;
    for (const int number : {SIGUSR1, SIGUSR2}) {   // the second with SA_RESTART, which FUSE cannot honour
        waiter.begin_open(lock(b), O_RDWR);
        ASSERT_TRUE(becomes(holder, marked));
        waiter.signal(number);
        EXPECT_EQ(waiter.finish(), -EINTR);
        EXPECT_TRUE(becomes(holder, 0)) << "its request is withdrawn from the queue";
    }
}

TEST_F(Rows, Observed05_KillEndsABlockedOpen) {
    make(b);
    const File holder(lock(a), create_exclusive);
    Client waiter;
    waiter.begin_open(lock(b), O_RDWR);
    ASSERT_TRUE(becomes(holder, marked));
    waiter.kill();   // returns when the process has ended
    EXPECT_TRUE(becomes(holder, 0));
    EXPECT_EQ(failed(::unlink(lock(b).c_str())), 0) << "no trace of it in the mount";
}

TEST_F(Rows, Observed06_TwoUpgradesWaitForEachOther) {
    File reader_a(lock(a), create_shared);
    File reader_b(lock(b), create_shared);
    Client upgrade_a;
    Client upgrade_b;
    upgrade_a.begin_open(lock(a), O_RDWR);
    ASSERT_TRUE(becomes(reader_b, marked));
    // B is marked by now, so its upgrade waits for B's own reader; A's waits for the same one.
    begin_blocked_open(upgrade_b, lock(b), O_RDWR);
    expect_still_waiting(upgrade_a);
    expect_still_waiting(upgrade_b);
    reader_b.close();
    EXPECT_GE(upgrade_a.finish(), 0);
    expect_still_waiting(upgrade_b);
    reader_a.close();
    upgrade_a.kill();
    EXPECT_GE(upgrade_b.finish(), 0);
}

TEST_F(Rows, Observed06_ABlockedUpgradeCanBeInterrupted) {
    File reader_a(lock(a), create_shared);
    const File reader_b(lock(b), create_shared);
    Client upgrade;
    upgrade.begin_open(lock(a), O_RDWR);
    ASSERT_TRUE(becomes(reader_b, marked));
    upgrade.signal(SIGUSR1);
    EXPECT_EQ(upgrade.finish(), -EINTR);
    EXPECT_TRUE(becomes(reader_b, 0));
    EXPECT_EQ(reader_a.read(0).size(), 64U) << "the reader keeps its lock";
}

TEST_F(Rows, Observed08_OneNodeExcludesNobody) {
    const File first(lock(a), create_exclusive);
    ASSERT_TRUE(first.is_open());
    for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_NONBLOCK, O_RDWR | O_NONBLOCK})
        EXPECT_TRUE(File(lock(a), flags).is_open()) << flags;
    Client other;
    EXPECT_GE(other.open(lock(a), O_RDWR), 0) << "another program";
}

TEST_F(Rows, Observed08_ExclusiveBesideLocalReaders) {
    const File reader(lock(a), create_shared);
    const File writer(lock(a), O_RDWR);
    EXPECT_TRUE(writer.is_open());
    EXPECT_EQ(writer.write(0, "w"), 1);
    EXPECT_EQ(reader.read(0, 1), "w");
}

TEST_F(Rows, Observed17_TicketOrderAmongNodes) {
    make(b);
    File first(lock(a), create_exclusive);
    Client on_b;
    on_b.begin_open(lock(b), O_RDWR);
    ASSERT_TRUE(becomes(first, marked));
    Client on_a;
    begin_blocked_open(on_a, lock(a), O_RDWR);   // after B's: behind it
    first.close();
    const int fd = on_b.finish();
    ASSERT_GE(fd, 0) << "B came first";
    on_b.begin_wait_readable(fd);
    EXPECT_EQ(on_b.finish(), POLLIN) << "A waits now";
    expect_still_waiting(on_a);
    on_b.kill();
    EXPECT_GE(on_a.finish(), 0);
}

TEST_F(Rows, Observed17_ManyHandOversEveryOpenReturns) {
    make(a);
    make(b);
    constexpr int rounds = 50;
    int counter = 0;
    for (int i = 0; i < rounds; ++i) {
        const int node = i % 2;
        const File file(lock(node), O_RDWR);
        ASSERT_TRUE(file.is_open());
        const std::string value = file.read(0, 4);
        ASSERT_EQ(value.size(), 4U);
        counter = i == 0 ? 0 : std::stoi(value);
        EXPECT_EQ(file.write(0, std::to_string(1000 + i + 1)), 4);
        EXPECT_EQ(i == 0 ? 1000 : counter, 1000 + i) << "the other node's value";
    }
}

TEST_F(Rows, Observed18_ADeadWaiterHoldsUpNobody) {
    make(b);
    const File holder(lock(a), create_exclusive);
    Client waiter;
    waiter.begin_open(lock(b), O_RDWR);
    ASSERT_TRUE(becomes(holder, marked));
    Client local;
    begin_blocked_open(local, lock(a), O_RDWR);
    expect_still_waiting(local);
    waiter.kill();
    EXPECT_GE(local.finish(), 0) << "opens of the holding node go on";
    EXPECT_TRUE(becomes(holder, 0));
    EXPECT_TRUE(File(lock(a), O_RDWR | O_NONBLOCK).is_open());
}

}  // namespace sdlm::fs::test
