// SPDX-License-Identifier: LGPL-2.1-or-later
// Finds out whether a node still works on the volume that is to be overwritten. Nobody may be asked but the disk: a
// slot that changes belongs to a living node; one that stays the same for the volume's dead time does not.
#pragma once
#include <ostream>
#include <string>

#include "disk/io/block_device.hpp"
#include "tools/mkfs/run.hpp"
#include "tools/mkfs/volume_traces.hpp"

namespace sdlm::tools::mkfs {

// A sentence naming the living node, or what hinders to find out; empty: nobody lives. May take the volume's dead time.
std::string live_node_problem(const disk::BlockDevice& device, const VolumeTraces& traces, std::ostream& out,
                              const Environment& environment);

}  // namespace sdlm::tools::mkfs
