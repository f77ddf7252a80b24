// SPDX-License-Identifier: LGPL-2.1-or-later
// Writes a new volume and reads it back. An interrupted run leaves no superblock behind, neither old nor new.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "disk/format/superblock.hpp"
#include "disk/io/block_device.hpp"

namespace sdlm::tools::mkfs {

// `old_copies`: byte offsets of pages that may hold an old superblock. Returns an empty string, or a sentence.
std::string write_volume(const disk::BlockDevice& device, const disk::Superblock& superblock,
                         const std::vector<std::uint64_t>& old_copies);

}  // namespace sdlm::tools::mkfs
