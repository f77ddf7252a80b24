// SPDX-License-Identifier: LGPL-2.1-or-later
// The sdlm volume that lies on a device already, as far as it can be recognised.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "disk/format/superblock.hpp"
#include "disk/io/block_device.hpp"

namespace sdlm::tools::mkfs {

struct VolumeTraces {
    std::optional<disk::Superblock> superblock;   // of the first readable copy
    bool newer = false;                           // intact, but of a version that this program does not know
    std::string description;                      // "sdlm volume UUID (label \"x\")"; empty: no trace of a volume
    std::vector<std::uint64_t> copies;            // where superblocks may lie, to be wiped
    std::string problem;                          // a sentence when the device could not be read
};

VolumeTraces find_volume(const disk::BlockDevice& device);

}  // namespace sdlm::tools::mkfs
