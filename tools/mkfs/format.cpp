// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/mkfs/format.hpp"

#include <algorithm>
#include <cstddef>

#include "disk/base/limits.hpp"
#include "disk/format/slot.hpp"

namespace sdlm::tools::mkfs {

namespace {

using disk::BlockDevice;
using disk::Superblock;
using Bytes = std::vector<std::byte>;

Bytes superblock_page(const Superblock& superblock, std::uint64_t offset) {
    Bytes page(limits::page_bytes);
    encode(superblock, offset, std::span(page).first(disk::superblock_bytes));
    return page;
}

// From the first slot to the first area: free slots, zeros behind the last.
Bytes slots_image(const Superblock& superblock) {
    const disk::Geometry& geometry = superblock.geometry;
    Bytes image(geometry.areas_offset() - disk::slots_offset);
    for (NodeIndex node = 0; node < geometry.slot_count; ++node) {
        disk::SlotHeader header;
        header.node = node;
        const std::uint64_t offset = geometry.slot_offset(node);
        encode_slot(header, 0, {}, superblock.uuid, offset,
                    std::span(image).subspan(offset - disk::slots_offset, geometry.block_bytes));
    }
    return image;
}

// Where slots of a volume with more or larger slots may lie; its first areas lie there now.
std::uint64_t old_slots_end(const disk::Geometry& geometry) {
    const std::uint64_t end = disk::slots_offset + limits::slots_max * limits::block_bytes_max;
    return std::min(end, geometry.backup_offset());
}

Result<void> write_zeros(const BlockDevice& device, std::uint64_t from, std::uint64_t to) {
    if (from >= to) return {};
    return device.write(from, Bytes(to - from));
}

Result<void> write_all(const BlockDevice& device, const Superblock& superblock,
                       const std::vector<std::uint64_t>& old_copies) {
    const disk::Geometry& geometry = superblock.geometry;
    const Bytes zero_page(limits::page_bytes);
    for (const std::uint64_t offset : old_copies)
        if (const auto done = device.write(offset, zero_page); !done) return done;
    if (const auto done = device.flush(); !done) return done;       // from here on there is no volume

    if (const auto done = device.write(disk::slots_offset, slots_image(superblock)); !done) return done;
    if (const auto done = write_zeros(device, geometry.areas_offset(), old_slots_end(geometry)); !done) return done;
    for (NodeIndex node = 0; node < geometry.slot_count; ++node)
        if (const auto done = device.write(geometry.card_offset(node), zero_page); !done) return done;
    const std::uint64_t backup = geometry.backup_offset();
    if (const auto done = device.write(backup, superblock_page(superblock, backup)); !done) return done;
    if (const auto done = device.flush(); !done) return done;

    const auto first = superblock_page(superblock, disk::superblock_offset);
    if (const auto done = device.write(disk::superblock_offset, first); !done) return done;
    return device.flush();
}

// An error with the place of the first byte that is not what was written.
Result<void> expect(const BlockDevice& device, std::uint64_t offset, const Bytes& wanted) {
    Bytes found(wanted.size());
    if (const auto read = device.read(offset, found); !read) return read;
    const auto [there, here] = std::mismatch(found.begin(), found.end(), wanted.begin());
    if (there == found.end()) return {};
    return Error{.code = Errc::bad_field, .offset = offset + static_cast<std::uint64_t>(there - found.begin()),
                 .field = "contents"};
}

Result<void> verify(const BlockDevice& device, const Superblock& superblock) {
    const disk::Geometry& geometry = superblock.geometry;
    for (const std::uint64_t offset : {disk::superblock_offset, geometry.backup_offset()})
        if (const auto same = expect(device, offset, superblock_page(superblock, offset)); !same) return same;
    if (const auto same = expect(device, disk::slots_offset, slots_image(superblock)); !same) return same;
    for (NodeIndex node = 0; node < geometry.slot_count; ++node)
        if (const auto same = expect(device, geometry.card_offset(node), Bytes(limits::page_bytes)); !same) return same;
    return {};
}

}  // namespace

std::string write_volume(const BlockDevice& device, const Superblock& superblock,
                         const std::vector<std::uint64_t>& old_copies) {
    if (const auto written = write_all(device, superblock, old_copies); !written)
        return "writing failed: " + describe(written.error()) +
               "; the device holds no complete volume now, so run mkfs.sdlm again";
    if (const auto same = verify(device, superblock); !same)
        return "reading back failed: " + describe(same.error()) +
               "; the device does not keep what is written, or another program writes to it";
    return {};
}

}  // namespace sdlm::tools::mkfs
