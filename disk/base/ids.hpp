// SPDX-License-Identifier: LGPL-2.1-or-later
// Strong types for the things that must not be mixed up.
#pragma once
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace sdlm {

// Index of a node's slot, 0 .. slot_count-1. Shown to people with the same number.
using NodeIndex = std::uint16_t;
inline constexpr NodeIndex no_node = 0xffff;

// One life of one node in one slot. `generation` grows by one with every claim of the slot; `nonce` is random, so
// two claimers of one generation, and a generation counted again after a damaged slot, are told apart.
struct Incarnation {
    std::uint64_t generation = 0;
    std::uint64_t nonce = 0;
    friend auto operator<=>(const Incarnation&, const Incarnation&) = default;
    bool none() const { return generation == 0 && nonce == 0; }
    // No life has generation 0: a claim's question about a slot, or the answer to it, with the nonce of who asks.
    bool question() const { return generation == 0; }
};

struct Uuid {
    std::array<std::uint8_t, 16> bytes{};
    friend auto operator<=>(const Uuid&, const Uuid&) = default;
    bool none() const { return *this == Uuid{}; }
};

// 36 characters, lower case.
std::string to_string(const Uuid& uuid);
// Accepts the 36-character form in either case; false on anything else.
bool parse_uuid(std::string_view text, Uuid& out);

}  // namespace sdlm
