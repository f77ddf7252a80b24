// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once
#include <iosfwd>

#include <nlohmann/json.hpp>

namespace sdlm::tools {

// What happens when, from a node's last heartbeat to the grants of others: `sdlm status --timeline`. `status` is the
// daemon's, all figures are those of heartbeat::Timing.
void print_timeline(std::ostream& out, const nlohmann::json& status);

}  // namespace sdlm::tools
