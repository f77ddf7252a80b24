// SPDX-License-Identifier: LGPL-2.1-or-later
// Where everything lies on the device, computed from the superblock's numbers and nothing else. see disk/FORMAT.md
#pragma once
#include <cstdint>

#include "disk/base/ids.hpp"
#include "disk/base/result.hpp"

namespace sdlm::disk {

inline constexpr std::uint64_t superblock_offset = 0;
inline constexpr std::uint64_t slots_offset = 64 * 1024;

// superblock | slots 0..N-1 (from 64 KiB) | area 0 .. N-1 (page-aligned) | backup superblock (last page)
struct Geometry {
    std::uint32_t block_bytes = 0;     // 512 or 4096
    std::uint32_t slot_count = 0;      // 1 .. limits::slots_max
    std::uint64_t area_bytes = 0;      // per node: page 0 is the node card, the rest is the journal ring
    std::uint64_t volume_bytes = 0;    // whole volume, multiple of the page size

    std::uint64_t slot_offset(NodeIndex node) const {
        return slots_offset + std::uint64_t{node} * block_bytes;
    }
    std::uint64_t slots_bytes() const { return std::uint64_t{slot_count} * block_bytes; }
    std::uint64_t areas_offset() const;                                        // page-aligned end of the slots
    std::uint64_t area_offset(NodeIndex node) const { return areas_offset() + node * area_bytes; }
    std::uint64_t card_offset(NodeIndex node) const { return area_offset(node); }
    std::uint64_t ring_pages() const;                                          // pages of one journal ring
    std::uint64_t page_offset(NodeIndex node, std::uint64_t page_number) const;  // ring position: number % ring_pages
    std::uint64_t backup_offset() const;                                       // last page of the volume
    friend bool operator==(const Geometry&, const Geometry&) = default;
};

// Bytes that a volume with these numbers needs.
std::uint64_t bytes_needed(std::uint32_t block_bytes, std::uint32_t slot_count, std::uint64_t area_bytes);

// bad_field naming the number when a geometry is impossible.
Result<void> check(const Geometry& geometry);

}  // namespace sdlm::disk
