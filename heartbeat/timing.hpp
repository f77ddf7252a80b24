// SPDX-License-Identifier: LGPL-2.1-or-later
// All time bounds of the protocol, derived from the three numbers in the superblock. Nothing else in the project
// states a time bound. see heartbeat/PROTOCOL.md §2
#pragma once
#include <cstdint>

#include "disk/base/instant.hpp"
#include "disk/base/limits.hpp"
#include "disk/base/result.hpp"

namespace sdlm::heartbeat {

// Clocks of two hosts may run 5 % fast or slow: 1.05 / 0.95 < 1.11.
inline constexpr std::int64_t drift_num = 111;
inline constexpr std::int64_t drift_den = 100;

struct Timing {
    Duration heartbeat;     // a slot write at least this often
    Duration lease;         // from just before a completed slot write was submitted
    Duration io_timeout;   // a claim's read-to-write must fit in this, and a claimer waits this long before it trusts
                           // its claim

    // After the lease: time to stop clients before anybody may take over.
    constexpr Duration stop() const { return lease / 8 < milliseconds(250) ? milliseconds(250) : lease / 8; }
    // ... of which: after this, those that did not end when they were told are killed.
    constexpr Duration told() const { return stop() / 2; }
    // A watchdog that is not fed fires within this, so that it fires before the host's time to stop is over; it is fed
    // only while at least its timeout is left of that.
    constexpr Duration watchdog_max() const { return lease + stop() - heartbeat * 2; }
    // An administrator may declare a node dead that was not heard of for so long.
    constexpr Duration quiet() const { return heartbeat * 2 + io_timeout; }
    // An observer may evict when its own two reads this far apart show one sequence.
    constexpr Duration dead() const { return (lease + stop()) * drift_num / drift_den; }
    // From the death of a node to grants of what it held: first and second read (one heartbeat each, at most), the
    // eviction's write and read.
    constexpr Duration failover_bound() const { return dead() + heartbeat * 2 + io_timeout; }
    // The same, from the end of a daemon whose guardian speaks for it, or from a request to stop, on storage that
    // answers: clients stop, the slot says so, and is read; then as above.
    constexpr Duration early_bound() const { return told() + heartbeat * 2 + io_timeout; }
    // A trylock is answered within this, or it is refused.
    constexpr Duration answer() const { return heartbeat * 2; }
    // A clean leave waits this long for others to adopt values.
    constexpr Duration adopt() const { return heartbeat * 2; }
};

inline constexpr Timing default_timing{milliseconds(limits::heartbeat_ms_default),
                                       milliseconds(limits::lease_ms_default), milliseconds(1000)};
static_assert(default_timing.failover_bound() <= milliseconds(12'000));
static_assert(default_timing.early_bound() <= milliseconds(3'000));
static_assert(default_timing.told() < default_timing.stop());
static_assert(default_timing.watchdog_max() <= default_timing.lease + default_timing.stop());
static_assert(default_timing.dead() * 100 >= (default_timing.lease + default_timing.stop()) * 110);

constexpr std::uint32_t default_io_timeout_ms(std::uint32_t lease_ms) {
    return lease_ms / 8 < 100 ? 100 : (lease_ms / 8 > 1000 ? 1000 : lease_ms / 8);
}

// bad_field naming heartbeat_ms, lease_ms or io_timeout_ms: heartbeat within [min, lease / 4], lease within its limits,
// io_timeout within [min, lease / 2].
Result<Timing> make_timing(std::uint32_t heartbeat_ms, std::uint32_t lease_ms, std::uint32_t io_timeout_ms);

}  // namespace sdlm::heartbeat
