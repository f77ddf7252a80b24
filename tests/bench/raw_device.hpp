// SPDX-License-Identifier: LGPL-2.1-or-later
// What the device itself can do with the I/O of one acquire: one block written, then all slots read.
#pragma once
#include <cstdint>
#include <string>

#include "disk/base/instant.hpp"
#include "disk/format/superblock.hpp"
#include "disk/io/aligned_buffer.hpp"
#include "disk/io/block_device.hpp"

namespace sdlm::bench {

// One at a time, by plain pwrite and pread with O_DIRECT: the floor of the latency.
class RawFloor {
public:
    // Writes the block of `unused`, a slot that no node takes, back as it is. Throws std::runtime_error.
    RawFloor(const std::string& device, const disk::Superblock& superblock, NodeIndex unused);
    Duration once();

private:
    disk::BlockDevice device_;
    std::uint64_t block_offset_;
    disk::AlignedBuffer block_;
    disk::AlignedBuffer slots_;
};

// `depth` chains of write and read at once, through io_uring, each on a block of its own in the area of `unused`.
// Returns chains per second.
double raw_chains_per_second(const std::string& device, const disk::Superblock& superblock, NodeIndex unused,
                             unsigned depth, Duration span);

}  // namespace sdlm::bench
