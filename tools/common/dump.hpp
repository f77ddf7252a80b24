// SPDX-License-Identifier: LGPL-2.1-or-later
// What lies on a device, for people (`sdlm dump`): read-only, without a daemon, also when parts are damaged. Reading a
// volume in use is safe; what a node rewrites meanwhile is read again.
#pragma once
#include <iostream>
#include <optional>
#include <ostream>

#include "disk/base/ids.hpp"
#include "disk/io/block_device.hpp"

namespace sdlm::tools {

struct DumpOptions {
    std::optional<NodeIndex> slot;     // only this one; nullopt: all
    bool json = false;
    bool pages = false;                // also every page of the journal rings, current or not
};

// 0: dumped (damage is part of the dump), 1: no superblock, no such slot, or `out` failed; `err` says why.
int dump(const disk::BlockDevice& device, const DumpOptions& options, std::ostream& out,
         std::ostream& err = std::cerr);

}  // namespace sdlm::tools
