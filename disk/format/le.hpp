// SPDX-License-Identifier: LGPL-2.1-or-later
// Integers as they lie on the disk: little endian. A record made of them has its size and offsets asserted.
#pragma once
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sdlm::disk {

template <std::unsigned_integral U>
constexpr U to_le(U v) {
    if constexpr (std::endian::native == std::endian::little || sizeof(U) == 1) return v;
    else if constexpr (sizeof(U) == 2) return __builtin_bswap16(v);
    else if constexpr (sizeof(U) == 4) return __builtin_bswap32(v);
    else return __builtin_bswap64(v);
}

// No arithmetic, no implicit conversion: get() and set() only.
template <std::unsigned_integral U>
class Le {
public:
    constexpr U get() const { return to_le(raw_); }
    constexpr void set(U v) { raw_ = to_le(v); }

private:
    U raw_ = 0;
};
using Le16 = Le<std::uint16_t>;
using Le32 = Le<std::uint32_t>;
using Le64 = Le<std::uint64_t>;

// What may be laid over a block: no padding, no constructor logic, no hidden order.
template <class T>
concept DiskRecord = std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T> &&
                     std::has_unique_object_representations_v<T>;

}  // namespace sdlm::disk
