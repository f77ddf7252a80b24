// SPDX-License-Identifier: LGPL-2.1-or-later
// Every bound of the project, in one place (I10). Reaching one is an error that the caller sees.
#pragma once
#include <cstddef>
#include <cstdint>

namespace sdlm::limits {

inline constexpr std::size_t slots_max = 255;            // nodes of one volume
inline constexpr std::size_t slots_default = 16;
inline constexpr std::size_t lockspace_name_max = 64;    // bytes, libdlm's bound (dlmfs: 63)
inline constexpr std::size_t resource_name_max = 64;     // bytes, libdlm's bound (dlmfs: 31)
inline constexpr std::size_t lvb_bytes_max = 64;         // dlmfs 64, libdlm 32
inline constexpr std::size_t label_bytes = 32;           // volume label, not NUL-terminated when full
inline constexpr std::size_t node_name_bytes = 64;       // node name
inline constexpr std::size_t dlmfs_domain_max = 63;
inline constexpr std::size_t dlmfs_lock_max = 31;

inline constexpr std::size_t block_bytes_min = 512;
inline constexpr std::size_t block_bytes_max = 4096;
inline constexpr std::size_t page_bytes = 4096;          // journal page, whatever the block size

inline constexpr std::uint64_t area_bytes_min = 64 * 1024;
inline constexpr std::uint64_t area_bytes_default = 8 * 1024 * 1024;
inline constexpr std::uint64_t area_bytes_max = 1024ULL * 1024 * 1024;

inline constexpr std::uint32_t heartbeat_ms_default = 500;
inline constexpr std::uint32_t heartbeat_ms_min = 10;
inline constexpr std::uint32_t lease_ms_default = 8000;
inline constexpr std::uint32_t lease_ms_min = 1000;
inline constexpr std::uint32_t lease_ms_max = 600'000;
inline constexpr std::uint32_t io_timeout_ms_min = 50;

}  // namespace sdlm::limits
