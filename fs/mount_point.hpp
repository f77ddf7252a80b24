// SPDX-License-Identifier: LGPL-2.1-or-later
// Checks of a mount directory that never touch the directory itself: a call into a FUSE mount that this very thread
// serves would never return.
#pragma once
#include <string>

#include "disk/base/result.hpp"

namespace sdlm::fs {

// The absolute path of `path` with no symbolic link left in its parent. busy: a FUSE file system is mounted there
// (perhaps one whose daemon is gone); not_found / bad_argument: no such directory. `message` is a full sentence.
Result<std::string> usable_mount_point(const std::string& path, std::string& message);

}  // namespace sdlm::fs
