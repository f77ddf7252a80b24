// SPDX-License-Identifier: LGPL-2.1-or-later
// Names of the nodes, read from their cards on the device: the protocol itself goes without names.
#pragma once
#include <string>

#include <nlohmann/json.hpp>

#include "disk/base/instant.hpp"

namespace sdlm::tools {

// Adds "name" and "host_name" to the peers whose card can be read and is of their present life. A device that does not
// answer within `patience` costs the names only.
void add_node_names(const std::string& device, nlohmann::json& peers, Duration patience);

}  // namespace sdlm::tools
