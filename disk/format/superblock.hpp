// SPDX-License-Identifier: LGPL-2.1-or-later
// The superblock: identity, geometry and timing of a volume. Written by mkfs only; a copy lies in the last page.
// All nodes read the timings here, so they cannot disagree.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "disk/base/ids.hpp"
#include "disk/base/result.hpp"
#include "disk/format/geometry.hpp"

namespace sdlm::disk {

inline constexpr std::size_t superblock_bytes = 512;      // the record; the rest of its page is zero
inline constexpr std::uint16_t format_version = 1;
// Feature masks: an unknown incompat bit refuses the volume, an unknown ro-compat bit allows reading only.
inline constexpr std::uint32_t known_incompat = 0;
inline constexpr std::uint32_t known_ro_compat = 0;

struct Superblock {
    Uuid uuid;
    std::string label;                    // at most limits::label_bytes bytes
    std::uint32_t compat = 0;
    std::uint32_t ro_compat = 0;
    std::uint32_t incompat = 0;
    Geometry geometry;
    std::uint32_t heartbeat_ms = 0;       // see heartbeat/timing.hpp for the rules between the three
    std::uint32_t lease_ms = 0;
    std::uint32_t io_timeout_ms = 0;
    std::uint64_t created_unix = 0;       // seconds since 1970, for people only
    friend bool operator==(const Superblock&, const Superblock&) = default;
};

// Fills `out` (superblock_bytes) for the copy that lies at byte `offset` of the device.
void encode(const Superblock& superblock, std::uint64_t offset, std::span<std::byte> out);

// `bytes` holds at least superblock_bytes read from byte `offset`. Errors name the field: bad_magic, bad_checksum,
// bad_version (version or incompat), wrong_block, bad_field (geometry, reserved bytes not zero ...).
Result<Superblock> decode_superblock(std::span<const std::byte> bytes, std::uint64_t offset);

}  // namespace sdlm::disk
