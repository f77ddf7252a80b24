// SPDX-License-Identifier: LGPL-2.1-or-later
// Who on this host uses a device already.
#pragma once
#include <string>

namespace sdlm::tools::mkfs {

// A sentence naming the mount point when `device` (or, for an image file, a loop device over it) is mounted according
// to the file `mountinfo` (/proc/self/mountinfo); empty when it is not. A missing `mountinfo` is an error sentence.
std::string mounted_problem(const std::string& device, const std::string& mountinfo);

}  // namespace sdlm::tools::mkfs
