// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>

#include <cinttypes>
#include <cstdio>
#include <vector>

#include "disk/base/limits.hpp"
#include "disk/format/slot.hpp"
#include "disk/io/block_device.hpp"

namespace sdlm::disk {
namespace {

constexpr std::uint64_t page = limits::page_bytes;

std::string at_offset(std::uint64_t offset) {
    char text[40];
    std::snprintf(text, sizeof text, "offset 0x%" PRIx64, offset);
    return text;
}

Result<Superblock> read_copy(const BlockDevice& device, std::uint64_t offset) {
    std::vector<std::byte> bytes(page);
    if (auto done = device.read(offset, bytes); !done) return done.error();
    return decode_superblock(bytes, offset);
}

// A backup left behind by a volume that something else has overwritten would send our writes into foreign content:
// at least one slot must still be the volume's.
bool any_slot_belongs(const BlockDevice& device, const Superblock& superblock) {
    const Geometry& geometry = superblock.geometry;
    std::vector<std::byte> block(geometry.block_bytes);
    for (NodeIndex node = 0; node < geometry.slot_count; ++node) {
        const std::uint64_t offset = geometry.slot_offset(node);
        if (!device.read(offset, block)) continue;
        if (decode_slot_header(block, superblock.uuid, node, offset)) return true;
    }
    return false;
}

bool opened_for_writing(const BlockDevice& device) {
    return (::fcntl(device.fd(), F_GETFL) & O_ACCMODE) != O_RDONLY;
}

std::string sentence_for_neither(const BlockDevice& device, const Error& first, const Error& backup,
                                 std::uint64_t backup_at) {
    const std::string both = "first superblock (offset 0x0): " + describe(first) + "; backup superblock (" +
                             at_offset(backup_at) + "): " + describe(backup);
    const std::string where = device.path() + ": ";
    if (first.code == Errc::io || backup.code == Errc::io)
        return where + "no superblock can be read: " + both + "; check the path to the device and its cabling";
    if (first.code == Errc::bad_magic && backup.code == Errc::bad_magic)
        return where + "not an sdlm volume: " + both + "; check the device's name, or format it with mkfs.sdlm";
    if (first.code == Errc::bad_magic)
        return where + "not an sdlm volume, or its superblock was overwritten: " + both +
               "; check the device's name; if its size has changed, restore the size so that the backup is found";
    return where + "both superblocks are unusable: " + both +
           "; if the device's size has changed, restore it; else format it again";
}

Result<void> check_device(const BlockDevice& device, const Superblock& superblock, std::string& message) {
    const Geometry& geometry = superblock.geometry;
    if (device.logical_block_bytes() > geometry.block_bytes) {
        message = device.path() + ": its logical block has " + std::to_string(device.logical_block_bytes()) +
                  " bytes, the volume was formatted for blocks of " + std::to_string(geometry.block_bytes) +
                  ": a slot could be torn; move the volume to a device with small blocks, or format it again";
        return Error{Errc::unsupported, 0, 0, "block_bytes"};
    }
    if (device.bytes() < geometry.volume_bytes) {
        message = device.path() + ": truncated: the volume needs " + std::to_string(geometry.volume_bytes) +
                  " bytes, the device has " + std::to_string(device.bytes()) + "; restore the device's size";
        return Error{Errc::too_small, 0, device.bytes(), "volume_bytes"};
    }
    if (opened_for_writing(device) && (superblock.ro_compat & ~known_ro_compat) != 0) {
        message = device.path() + ": the volume uses features that sdlm " SDLM_VERSION
                  " may not write to (field superblock.ro_compat); use the version that it was formatted with";
        return Error{Errc::bad_version, 0, 0, "superblock.ro_compat"};
    }
    return {};
}

Result<LoadedSuperblock> load_backup(const BlockDevice& device, const Error& first, std::string& message) {
    const std::uint64_t backup_at = device.bytes() / page * page - page;
    auto backup = read_copy(device, backup_at);
    if (backup && backup->geometry.backup_offset() != backup_at)
        backup = Error{Errc::wrong_block, 0, backup_at, "geometry.volume_bytes"};
    if (!backup) {
        message = sentence_for_neither(device, first, backup.error(), backup_at);
        return first;
    }
    if (auto fits = check_device(device, *backup, message); !fits) return fits.error();
    const std::string why = device.path() + ": first superblock (offset 0x0): " + describe(first);
    if (opened_for_writing(device) && !any_slot_belongs(device, *backup)) {
        message = why + "; the backup (" + at_offset(backup_at) + ") is good, but no slot (from " +
                  at_offset(slots_offset) + ") belongs to volume " + to_string(backup->uuid) +
                  ": something else has overwritten the volume; find out what uses the device, then format it again";
        return first;
    }
    LoadedSuperblock loaded{*backup, true, {}};
    loaded.warning = why + "; using the backup (" + at_offset(backup_at) +
                     "); find out what has overwritten the start of the device";
    return loaded;
}

}  // namespace

Result<LoadedSuperblock> load_superblock(const BlockDevice& device, std::string& message) {
    message.clear();
    if (device.bytes() < 2 * page) {
        message = device.path() + ": too small for any sdlm volume: it has " + std::to_string(device.bytes()) +
                  " bytes; check the device's name";
        return Error{Errc::too_small, 0, 0, "device size"};
    }
    auto first = read_copy(device, superblock_offset);
    if (first) {
        if (auto fits = check_device(device, *first, message); !fits) return fits.error();
        return LoadedSuperblock{*first, false, {}};
    }
    if (first.error().code == Errc::bad_version) {       // intact, but of another version: the backup says the same
        message = device.path() + ": first superblock (offset 0x0): " + describe(first.error()) +
                  ": formatted by a newer sdlm than " SDLM_VERSION "; use that version";
        return first.error();
    }
    return load_backup(device, first.error(), message);
}

}  // namespace sdlm::disk
