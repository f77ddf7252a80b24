// SPDX-License-Identifier: LGPL-2.1-or-later
// For the message of sdlm lock: who has the lock.
#pragma once
#include <string>

#include "tools/sdlm/lock_command.hpp"

namespace sdlm::tools {

// "held by node 1 (name)", with the processes where it is the own node. Never fails: what cannot be found out is left
// out.
std::string lock_holders(const LockOptions& options, const std::string& run_dir);

}  // namespace sdlm::tools
