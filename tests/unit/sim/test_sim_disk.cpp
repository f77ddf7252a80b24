// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/sim/event_queue.hpp"
#include "tests/sim/sim_disk.hpp"

namespace sdlm::sim {
namespace {

SimIo make_io(bool write, std::uint64_t offset, std::size_t size, int fill) {
    SimIo io;
    io.write = write;
    io.life = 1;
    io.offset = offset;
    io.bytes.assign(size, static_cast<std::byte>(fill));
    return io;
}

IoPlan steps(std::size_t count) {
    IoPlan plan;
    plan.step_count = count;
    return plan;
}

std::ptrdiff_t filled(const SimDisk& disk, std::uint64_t offset, std::size_t size, int fill) {
    const auto view = disk.view(offset, size);
    return std::count(view.begin(), view.end(), static_cast<std::byte>(fill));
}

TEST(SimDisk, WriteTakesEffectAtItsStepsAndNotBefore) {
    Prng prng{1};
    SimDisk disk{64 * 1024, 512};
    const auto write = disk.submit(make_io(true, 4096, 512, 7), steps(1), prng);
    EXPECT_EQ(filled(disk, 4096, 512, 7), 0);
    disk.take_step(write, 0);
    EXPECT_EQ(filled(disk, 4096, 512, 7), 512);
}

TEST(SimDisk, WriteOfSeveralUnitsCanBeHalfThere) {
    Prng prng{2};
    bool seen_half = false;
    for (int round = 0; round < 20; ++round) {
        SimDisk disk{64 * 1024, 512};
        const auto write = disk.submit(make_io(true, 4096, 4096, 7), steps(3), prng);
        disk.take_step(write, 0);
        const auto bytes = filled(disk, 4096, 4096, 7);
        EXPECT_EQ(bytes % 512, 0);
        seen_half = seen_half || (bytes > 0 && bytes < 4096);
        disk.take_step(write, 1);
        disk.take_step(write, 2);
        EXPECT_EQ(filled(disk, 4096, 4096, 7), 4096);
    }
    EXPECT_TRUE(seen_half);
}

TEST(SimDisk, ReadIsNoSnapshot) {
    Prng prng{3};
    bool seen_mixture = false;
    for (int round = 0; round < 20; ++round) {
        SimDisk disk{64 * 1024, 512};
        const auto read = disk.submit(make_io(false, 0, 4096, 0), steps(2), prng);
        disk.take_step(read, 0);
        const auto write = disk.submit(make_io(true, 0, 4096, 9), steps(1), prng);
        disk.take_step(write, 0);
        disk.take_step(read, 1);
        const auto& bytes = disk.io(read).bytes;
        const auto fresh = std::count(bytes.begin(), bytes.end(), std::byte{9});
        seen_mixture = seen_mixture || (fresh > 0 && fresh < 4096);
    }
    EXPECT_TRUE(seen_mixture);
}

TEST(SimDisk, FailedWriteWithoutStepsLeavesTheDiskAlone) {
    Prng prng{4};
    SimDisk disk{8192, 512};
    const auto write = disk.submit(make_io(true, 0, 512, 7), steps(0), prng);
    disk.finish(write);
    EXPECT_EQ(filled(disk, 0, 512, 7), 0);
}

TEST(SimDisk, LateWriteLandsAfterItWasReported) {
    Prng prng{5};
    SimDisk disk{8192, 512};
    const auto write = disk.submit(make_io(true, 0, 512, 7), steps(1), prng);
    disk.finish(write);
    EXPECT_EQ(filled(disk, 0, 512, 7), 0);
    disk.take_step(write, 0);
    EXPECT_EQ(filled(disk, 0, 512, 7), 512);
}

TEST(SimDisk, DroppedStepsNeverReachTheDiskAndTheIoIsForgotten) {
    Prng prng{7};
    SimDisk disk{8192, 512};
    const auto write = disk.submit(make_io(true, 0, 512, 7), steps(1), prng);
    disk.drop_steps(write);
    disk.finish(write);
    EXPECT_TRUE(disk.io(write).in_use);
    disk.take_step(write, 0);
    EXPECT_FALSE(disk.io(write).in_use);
    EXPECT_EQ(filled(disk, 0, 512, 7), 0);
}

TEST(EventQueue, OrdersByTimeThenByInsertion) {
    EventQueue queue;
    queue.add({.at = 5, .argument = 1});
    queue.add({.at = 3, .argument = 2});
    queue.add({.at = 5, .argument = 3});
    queue.add({.at = 3, .argument = 4});
    std::vector<std::uint64_t> order;
    while (!queue.empty()) order.push_back(queue.take().argument);
    EXPECT_EQ(order, (std::vector<std::uint64_t>{2, 4, 1, 3}));
}

TEST(HostClock, WhenIsTheEarliestTimeThatShowsTheReading) {
    for (const std::int64_t ppm : {-50'000, -1, 0, 1, 50'000}) {
        const HostClock clock{.boot = ms(100), .offset_ns = 987'654'321, .rate_ppm = ppm};
        for (const Time t : {ms(100) + 1, ms(1'234), ms(59'999) + 17}) {
            const Instant reading = clock.local(t);
            const Time back = clock.when(reading);
            EXPECT_LE(back, t);
            EXPECT_GE(clock.local(back), reading);
            EXPECT_LT(clock.local(back - 1), reading);
        }
    }
}

}  // namespace
}  // namespace sdlm::sim
