// SPDX-License-Identifier: LGPL-2.1-or-later
// A point on the own host's CLOCK_BOOTTIME, in nanoseconds, and a span of it. Instants of two hosts are never
// compared: nothing on the disk carries one for another host to judge by.
#pragma once
#include <compare>
#include <cstdint>

namespace sdlm {

struct Duration {
    std::int64_t ns = 0;
    friend constexpr auto operator<=>(Duration, Duration) = default;
    constexpr std::int64_t ms() const { return ns / 1'000'000; }
    friend constexpr Duration operator+(Duration a, Duration b) { return {a.ns + b.ns}; }
    friend constexpr Duration operator-(Duration a, Duration b) { return {a.ns - b.ns}; }
    friend constexpr Duration operator*(Duration a, std::int64_t k) { return {a.ns * k}; }
    friend constexpr Duration operator/(Duration a, std::int64_t k) { return {a.ns / k}; }
};

constexpr Duration milliseconds(std::int64_t n) { return {n * 1'000'000}; }
constexpr Duration microseconds(std::int64_t n) { return {n * 1'000}; }

struct Instant {
    std::int64_t ns = 0;
    friend constexpr auto operator<=>(Instant, Instant) = default;
    friend constexpr Instant operator+(Instant t, Duration d) { return {t.ns + d.ns}; }
    friend constexpr Instant operator-(Instant t, Duration d) { return {t.ns - d.ns}; }
    friend constexpr Duration operator-(Instant a, Instant b) { return {a.ns - b.ns}; }
};

inline constexpr Instant never{INT64_MAX};
constexpr Instant earlier(Instant a, Instant b) { return a < b ? a : b; }

}  // namespace sdlm
