// SPDX-License-Identifier: LGPL-2.1-or-later
// The numbers that programs pass to libdlm and get back from it. Facts of the ABI: never change one.
#pragma once
#include <cstdint>

namespace sdlm::dlm {

// Flags of lock, convert and unlock calls.
namespace lkf {
inline constexpr std::uint32_t noqueue = 0x1;
inline constexpr std::uint32_t cancel = 0x2;
inline constexpr std::uint32_t convert = 0x4;
inline constexpr std::uint32_t valblk = 0x8;
inline constexpr std::uint32_t quecvt = 0x10;
inline constexpr std::uint32_t ivvalblk = 0x20;
inline constexpr std::uint32_t convdeadlk = 0x40;
inline constexpr std::uint32_t persistent = 0x80;
inline constexpr std::uint32_t nodlckwt = 0x100;
inline constexpr std::uint32_t nodlckblk = 0x200;
inline constexpr std::uint32_t expedite = 0x400;
inline constexpr std::uint32_t noqueuebast = 0x800;
inline constexpr std::uint32_t headque = 0x1000;
inline constexpr std::uint32_t noorder = 0x2000;
inline constexpr std::uint32_t orphan = 0x4000;
inline constexpr std::uint32_t altpr = 0x8000;
inline constexpr std::uint32_t altcw = 0x10000;
inline constexpr std::uint32_t forceunlock = 0x20000;
inline constexpr std::uint32_t timeout = 0x40000;
inline constexpr std::uint32_t wait = 0x80000000;       // the library's own; means nothing here
inline constexpr std::uint32_t unlock_all = cancel | valblk | ivvalblk | forceunlock;
}  // namespace lkf

// Bits of sb_flags.
namespace sbf {
inline constexpr std::uint8_t demoted = 1;
inline constexpr std::uint8_t valnotvalid = 2;
inline constexpr std::uint8_t altmode = 4;
}  // namespace sbf

// Values of sb_status that no errno.h has.
inline constexpr std::int32_t status_cancel = 0x10001;
inline constexpr std::int32_t status_unlock = 0x10002;
inline constexpr std::int32_t status_in_progress = 0x10003;

}  // namespace sdlm::dlm
