// SPDX-License-Identifier: LGPL-2.1-or-later
// The option string of mount.dlmfs. Options of mount(8) itself and of fstab's readers mean nothing to a dlmfs and are
// taken silently; any other unknown one is an error unless mount was called with -s.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "disk/base/ids.hpp"
#include "disk/base/result.hpp"

namespace sdlm::tools {

struct MountOptions {
    std::optional<NodeIndex> node;
    std::string name;
    std::string run_dir;
    bool allow_other = false;
    std::string client_policy;           // empty: the daemon's
};

enum class Unknown { refuse, ignore };

// Adds the options of one -o. bad_argument: `message` names the option and what is possible.
Result<void> parse_mount_options(std::string_view text, Unknown unknown, MountOptions& out, std::string& message);

}  // namespace sdlm::tools
