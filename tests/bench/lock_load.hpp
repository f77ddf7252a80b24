// SPDX-License-Identifier: LGPL-2.1-or-later
// What is measured at the LockPort of a live node.
#pragma once
#include <cstdint>

#include "tests/bench/bench_node.hpp"
#include "tests/bench/raw_device.hpp"
#include "tests/bench/samples.hpp"

namespace sdlm::bench {

struct Uncontended {
    Samples floor;
    Samples acquire;
    // Until the grant, average of all acquires.
    double writes = 0;
    double reads = 0;
};
// Nothing cached, one at a time, in turn with the floor; each acquire begins when the node has no I/O under way.
Uncontended measure_uncontended(BenchNode& node, RawFloor& floor, std::uint64_t count);

struct Cached {
    static constexpr std::uint64_t batch = 50;      // acquires
    Samples acquire;
    std::uint64_t batches = 0;
    std::uint64_t batches_without_io = 0;           // the others saw a heartbeat or a poll
};
Cached measure_cached(BenchNode& node, std::uint64_t count);

struct Throughput {
    std::uint64_t locks = 0;
    std::uint64_t writes = 0;
    std::uint64_t reads = 0;
    Duration span;
    void add(const Throughput& other) {
        locks += other.locks;
        writes += other.writes;
        reads += other.reads;
        span = span + other.span;
    }
};
// `depth` requests in flight all the time, each for a resource that is not held; released as soon as granted.
Throughput measure_throughput(BenchNode& node, unsigned depth, Duration span);

// From one node's release to the other's grant, the waiter known to the holder, held for a while.
Samples measure_handover(BenchNode& a, BenchNode& b, std::uint64_t count);

struct Idle {
    double writes_per_second = 0;
    double reads_per_second = 0;
};
Idle measure_idle(BenchNode& node, Duration span);

// Takes `count` locks and keeps them until release() or the end.
class HeldLocks {
public:
    HeldLocks(BenchNode& node, unsigned count);
    ~HeldLocks();
    HeldLocks(const HeldLocks&) = delete;
    HeldLocks& operator=(const HeldLocks&) = delete;

private:
    struct Client;
    BenchNode& node_;
    std::unique_ptr<Client> client_;
};

}  // namespace sdlm::bench
