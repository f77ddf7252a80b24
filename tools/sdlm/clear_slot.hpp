// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once
#include <string>

#include "disk/base/ids.hpp"

namespace sdlm::tools {

// `sdlm clear-slot`: makes a slot free again that shows garbage or the remains of a dead node, by the only safe way there
// is: claims it like a node that joins, and leaves at once. Refused while somebody is alive in it. Returns the exit code.
int clear_slot(const std::string& device, NodeIndex slot);

}  // namespace sdlm::tools
