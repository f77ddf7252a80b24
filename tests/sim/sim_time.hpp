// SPDX-License-Identifier: LGPL-2.1-or-later
// True time of the simulated world, and each host's own idea of it. Only the simulator and its checkers know true time.
#pragma once
#include <cstdint>

#include "disk/base/instant.hpp"

namespace sdlm::sim {

using Time = std::int64_t;                    // ns of true time since the start of the run
inline constexpr Time forever = INT64_MAX;

constexpr Time ms(std::int64_t n) { return n * 1'000'000; }
constexpr Time us(std::int64_t n) { return n * 1'000; }

// A host's CLOCK_BOOTTIME: runs fast or slow by rate_ppm and starts anywhere. A new boot is a new clock.
struct HostClock {
    Time boot = 0;                            // true time at which this boot began
    std::int64_t offset_ns = 0;               // local reading at `boot`
    std::int64_t rate_ppm = 0;                // -50'000 .. 50'000

    constexpr Instant local(Time t) const {
        return {offset_ns + (t - boot) + (t - boot) * rate_ppm / 1'000'000};
    }
    // Earliest true time at which the clock shows `at` or later.
    constexpr Time when(Instant at) const {
        if (at == never) return forever;
        const std::int64_t span = at.ns - offset_ns;
        Time t = boot + static_cast<Time>(static_cast<double>(span) * 1e6 / static_cast<double>(1'000'000 + rate_ppm));
        while (local(t) >= at) t -= 1'000;
        while (local(t) < at) ++t;
        return t;
    }
};

}  // namespace sdlm::sim
