// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/mkfs/volume_traces.hpp"

#include <algorithm>

#include "disk/base/limits.hpp"

namespace sdlm::tools::mkfs {

VolumeTraces find_volume(const disk::BlockDevice& device) {
    constexpr std::uint64_t page = limits::page_bytes;
    VolumeTraces traces;
    if (device.bytes() < 2 * page) return traces;
    traces.copies = {disk::superblock_offset, device.bytes() / page * page - page};
    std::vector<std::byte> bytes(page);
    for (const std::uint64_t offset : traces.copies) {
        if (const auto read = device.read(offset, bytes); !read) {
            traces.problem = "cannot be read: " + describe(read.error());
            return traces;
        }
        const auto superblock = disk::decode_superblock(bytes, offset);
        if (superblock) {
            traces.superblock = *superblock;
            traces.description = "an sdlm volume (uuid " + to_string(superblock->uuid) + ", label \"" +
                                 superblock->label + "\")";
            break;
        }
        if (superblock.error().code == Errc::bad_magic) continue;
        traces.newer = traces.newer || superblock.error().code == Errc::bad_version;
        if (traces.description.empty())
            traces.description = "an sdlm superblock (" + describe(superblock.error()) + ")";
    }
    if (traces.superblock) {
        const std::uint64_t backup = traces.superblock->geometry.backup_offset();
        if (backup <= device.bytes() - page && std::find(traces.copies.begin(), traces.copies.end(), backup) ==
                                                   traces.copies.end())
            traces.copies.push_back(backup);
    }
    return traces;
}

}  // namespace sdlm::tools::mkfs
