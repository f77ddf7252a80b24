// SPDX-License-Identifier: LGPL-2.1-or-later
// The lock table for people, from the rows of the control protocol.
#pragma once
#include <iosfwd>

#include <nlohmann/json.hpp>

namespace sdlm::tools {

// Adds to every row "waiters" (nodes that want the resource and have not got it) and "cycle": the node waits, on this
// resource, for a node that waits for it in turn, so neither gets on unless one of them lets go.
void add_waits(nlohmann::json& rows);

void print_locks(std::ostream& out, const nlohmann::json& rows);

}  // namespace sdlm::tools
