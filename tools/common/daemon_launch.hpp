// SPDX-License-Identifier: LGPL-2.1-or-later
// Starts sdlmd in the background and waits until it is live. Needs no service manager: readiness comes over a
// notification socket as systemd's would, from the started process only.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "disk/base/ids.hpp"
#include "disk/base/result.hpp"

namespace sdlm::tools {

struct LaunchRequest {
    std::string device;
    std::string run_dir;                 // exists
    std::optional<NodeIndex> node;
    std::string name;                    // empty: the daemon's default
    std::string mount;                   // empty: none
    bool allow_other = false;
    std::vector<std::string> services;   // first references
    std::string client_policy;           // empty: the daemon's default
};

// $SDLM_SDLMD, else sdlmd beside this program, in ../sbin or, in a build tree, in ../sdlmd.
Result<std::string> find_sdlmd(std::string& message);

std::vector<std::string> daemon_command_line(const std::string& program, const LaunchRequest& request);

// Returns when the daemon has reported READY=1. Its warnings and errors until then are shown on stderr; all that
// it says goes to RUN_DIR/log.
// A signal to this process ends the daemon, too.
Result<void> launch_daemon(const LaunchRequest& request, std::string& message);

}  // namespace sdlm::tools
