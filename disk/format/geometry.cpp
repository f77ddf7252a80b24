// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/format/geometry.hpp"

#include "disk/base/assert.hpp"
#include "disk/base/limits.hpp"

namespace sdlm::disk {

namespace {
constexpr std::uint64_t page = limits::page_bytes;
constexpr std::uint64_t page_up(std::uint64_t bytes) { return (bytes + page - 1) / page * page; }
static_assert(slots_offset % page == 0 && limits::area_bytes_min % page == 0 && limits::area_bytes_max % page == 0);
static_assert(limits::area_bytes_min >= 2 * page);   // a node card and at least one page of journal
}  // namespace

std::uint64_t Geometry::areas_offset() const { return page_up(slots_offset + slots_bytes()); }

std::uint64_t Geometry::ring_pages() const { return area_bytes / page - 1; }

std::uint64_t Geometry::page_offset(NodeIndex node, std::uint64_t page_number) const {
    SDLM_ASSERT(area_bytes >= limits::area_bytes_min);
    return area_offset(node) + (1 + page_number % ring_pages()) * page;
}

std::uint64_t Geometry::backup_offset() const { return volume_bytes - page; }

std::uint64_t bytes_needed(std::uint32_t block_bytes, std::uint32_t slot_count, std::uint64_t area_bytes) {
    const Geometry geometry{block_bytes, slot_count, area_bytes, 0};
    return geometry.areas_offset() + slot_count * area_bytes + page;
}

Result<void> check(const Geometry& geometry) {
    const auto bad = [](const char* field) { return Error{.code = Errc::bad_field, .field = field}; };
    if (geometry.block_bytes != limits::block_bytes_min && geometry.block_bytes != limits::block_bytes_max)
        return bad("block_bytes");
    if (geometry.slot_count < 1 || geometry.slot_count > limits::slots_max) return bad("slot_count");
    if (geometry.area_bytes < limits::area_bytes_min || geometry.area_bytes > limits::area_bytes_max ||
        geometry.area_bytes % page != 0)
        return bad("area_bytes");
    if (geometry.volume_bytes % page != 0 ||
        geometry.volume_bytes < bytes_needed(geometry.block_bytes, geometry.slot_count, geometry.area_bytes))
        return bad("volume_bytes");
    return {};
}

}  // namespace sdlm::disk
