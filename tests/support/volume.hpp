// SPDX-License-Identifier: LGPL-2.1-or-later
// A small formatted volume for tests, without mkfs.sdlm's checks.
#pragma once
#include <cstdint>
#include <string>

#include "disk/base/limits.hpp"
#include "disk/format/superblock.hpp"

namespace sdlm::test {

struct VolumeOptions {
    std::uint32_t block_bytes = 512;
    std::uint32_t slot_count = 4;
    std::uint64_t area_bytes = limits::area_bytes_min;
    std::uint32_t heartbeat_ms = 100;
    std::uint32_t lease_ms = limits::lease_ms_min;
    std::uint32_t io_timeout_ms = limits::io_timeout_ms_min;
};

std::uint64_t volume_bytes(const VolumeOptions& options);

// Writes superblock, backup and free slots to a file or device that is large enough. Throws std::runtime_error.
disk::Superblock format_volume(const std::string& path, const VolumeOptions& options);

}  // namespace sdlm::test
