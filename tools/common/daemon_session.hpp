// SPDX-License-Identifier: LGPL-2.1-or-later
// The way from a volume to a live daemon of it, for the tools that start one when there is none.
#pragma once
#include <string>

#include <nlohmann/json.hpp>

#include "disk/base/ids.hpp"
#include "tools/common/daemon_launch.hpp"
#include "tools/control/control_client.hpp"

namespace sdlm::tools {

struct DaemonSession {
    ControlClient client;
    nlohmann::json status;
    bool started = false;        // by us: `request`'s mount and services are in place already
};

// The caller holds the run directory's RunDirLock. Waits for a daemon that is still joining or already leaving.
// An error when the run directory serves another volume, or its node has lost its lease.
Result<DaemonSession> attach_or_launch(const LaunchRequest& request, const Uuid& volume, std::string& message);

// Asks for the state until it is not one of joining any more.
Result<nlohmann::json> settled_status(ControlClient& client, std::string& message);

// "leaving" or "left".
bool is_leaving(const nlohmann::json& status);

}  // namespace sdlm::tools
