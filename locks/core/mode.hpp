// SPDX-License-Identifier: LGPL-2.1-or-later
// The VMS/DLM mode algebra. Compatible: NL with all; CR with all but EX; CW with NL, CR, CW; PR with NL, CR, PR;
// PW with NL, CR; EX with NL.
#pragma once
#include <array>
#include <cstdint>

#include "disk/format/record.hpp"

namespace sdlm::locks {

using disk::Mode;

namespace detail {
inline constexpr std::array<std::uint8_t, 6> compatible_mask{0x3f, 0x1f, 0x07, 0x0b, 0x03, 0x01};   // bit = other mode
constexpr std::uint8_t bit(Mode m) { return static_cast<std::uint8_t>(1U << static_cast<unsigned>(m)); }
}  // namespace detail

constexpr bool compatible(Mode a, Mode b) {
    return (detail::compatible_mask[static_cast<std::size_t>(a)] & detail::bit(b)) != 0;
}
constexpr bool conflicts(Mode a, Mode b) { return !compatible(a, b); }

// Whoever may use `a` may use `b`: everything that conflicts with b conflicts with a.
constexpr bool covers(Mode a, Mode b) {
    const auto ca = detail::compatible_mask[static_cast<std::size_t>(a)];
    const auto cb = detail::compatible_mask[static_cast<std::size_t>(b)];
    return (ca & ~cb) == 0;
}
// Least mode that covers both (CW and PR: PW).
constexpr Mode join(Mode a, Mode b) {
    if (covers(a, b)) return a;
    if (covers(b, a)) return b;
    return Mode::PW;
}
// Modes under which the LVB may be written.
constexpr bool writes_lvb(Mode m) { return m == Mode::PW || m == Mode::EX; }
const char* text(Mode m) noexcept;

}  // namespace sdlm::locks
