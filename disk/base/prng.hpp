// SPDX-License-Identifier: LGPL-2.1-or-later
// A small seeded generator (splitmix64) for the pure cores and the simulator: same seed, same numbers, everywhere.
// Not for secrets.
#pragma once
#include <cstdint>

namespace sdlm {

class Prng {
public:
    explicit constexpr Prng(std::uint64_t seed) : state_(seed) {}
    constexpr std::uint64_t next() {
        state_ += 0x9e3779b97f4a7c15ULL;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
    }
    // Uniform enough for tests: 0 <= result < bound; bound > 0.
    constexpr std::uint64_t below(std::uint64_t bound) { return next() % bound; }
    // True once in `n` draws on average; n > 0.
    constexpr bool one_in(std::uint64_t n) { return below(n) == 0; }

private:
    std::uint64_t state_;
};

}  // namespace sdlm
