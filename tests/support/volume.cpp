// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/support/volume.hpp"

#include <stdexcept>
#include <vector>

#include "disk/format/slot.hpp"
#include "disk/io/block_device.hpp"

namespace sdlm::test {
namespace {

void put(const disk::BlockDevice& device, std::uint64_t offset, std::span<const std::byte> bytes) {
    if (auto done = device.write(offset, bytes); !done)
        throw std::runtime_error(device.path() + ": " + describe(done.error()));
}

}  // namespace

std::uint64_t volume_bytes(const VolumeOptions& options) {
    return disk::bytes_needed(options.block_bytes, options.slot_count, options.area_bytes);
}

disk::Superblock format_volume(const std::string& path, const VolumeOptions& options) {
    auto device = disk::BlockDevice::open(path, {.writable = true});
    if (!device) throw std::runtime_error(path + ": " + describe(device.error()));
    disk::Superblock superblock;
    superblock.uuid.bytes = {0x5d, 0x1a, 0x3e, 0x70, 1, 2, 0x43, 4, 0x85, 6, 7, 8, 9, 10, 11, 12};
    superblock.label = "test";
    superblock.geometry = {options.block_bytes, options.slot_count, options.area_bytes, volume_bytes(options)};
    superblock.heartbeat_ms = options.heartbeat_ms;
    superblock.lease_ms = options.lease_ms;
    superblock.io_timeout_ms = options.io_timeout_ms;

    const std::uint64_t backup = superblock.geometry.backup_offset();
    for (const std::uint64_t offset : {disk::superblock_offset, backup}) {
        std::vector<std::byte> page(limits::page_bytes);
        disk::encode(superblock, offset, std::span(page).first(disk::superblock_bytes));
        put(*device, offset, page);
    }
    std::vector<std::byte> block(options.block_bytes);
    for (NodeIndex node = 0; node < options.slot_count; ++node) {
        disk::SlotHeader header;
        header.node = node;
        const std::uint64_t offset = superblock.geometry.slot_offset(node);
        disk::encode_slot(header, 0, {}, superblock.uuid, offset, block);
        put(*device, offset, block);
    }
    return superblock;
}

}  // namespace sdlm::test
