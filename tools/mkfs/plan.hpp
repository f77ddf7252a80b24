// SPDX-License-Identifier: LGPL-2.1-or-later
// From options and the device's size to a superblock. Pure.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "disk/format/superblock.hpp"
#include "heartbeat/timing.hpp"
#include "tools/mkfs/options.hpp"

namespace sdlm::tools::mkfs {

struct DeviceFacts {
    std::uint64_t bytes = 0;
    std::uint32_t logical_block_bytes = 0;
};

struct Plan {
    disk::Superblock superblock;              // uuid and created_unix are the caller's
    heartbeat::Timing timing = heartbeat::default_timing;
    std::vector<std::string> notes;           // what was chosen differently from what was asked for
    std::string problem;                      // a sentence; not empty: there is no plan
    bool usage = false;                       // the problem lies in the options, not in the device
};

Plan make_plan(const Options& options, const DeviceFacts& device);

// "65536 bytes (64 KiB)"
std::string bytes_text(std::uint64_t bytes);

}  // namespace sdlm::tools::mkfs
