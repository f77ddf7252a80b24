// SPDX-License-Identifier: LGPL-2.1-or-later
// JSON forms of the node's states, used on the control socket and by every --json. Names are escaped().
#pragma once
#include <nlohmann/json.hpp>

#include "heartbeat/timing.hpp"
#include "locks/node/node_core.hpp"
#include "tools/control/control_target.hpp"

namespace sdlm::tools {

nlohmann::json to_json(const node::Counters& counters);
nlohmann::json to_json(const node::PeerStatus& peer);
nlohmann::json to_json(const node::LockRow& row);
nlohmann::json to_json(const heartbeat::Timing& timing);      // with every derived bound
// Without `peers`: the caller adds them, all at once or in parts.
nlohmann::json to_json(const node::NodeStatus& status);
nlohmann::json to_json(const DaemonStatus& status);           // node, volume, timing, refs excluded; without peers
const char* text(disk::Phase phase) noexcept;

}  // namespace sdlm::tools
