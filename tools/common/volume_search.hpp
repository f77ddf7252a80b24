// SPDX-License-Identifier: LGPL-2.1-or-later
// From a device to its volume, and from a volume's UUID to its device.
#pragma once
#include <string>
#include <vector>

#include "disk/base/ids.hpp"
#include "disk/base/result.hpp"

namespace sdlm::tools {

struct Volume {
    Uuid uuid;
    std::string device;         // canonical path
};

// Reads the superblock (or its backup).
Result<Volume> volume_on(const std::string& device, std::string& message);

// Block devices of this host that are not part of another one (a path of a multipath device, a member of a mirror).
std::vector<std::string> block_devices();

// The one of `candidates` that carries the volume. not_found, or bad_argument when several do: a snapshot or a copy
// with the same UUID must never be taken for the shared one.
Result<Volume> find_volume(const Uuid& uuid, const std::vector<std::string>& candidates, std::string& message);

}  // namespace sdlm::tools
