// SPDX-License-Identifier: LGPL-2.1-or-later
// Calls on the daemon's control socket for lockspaces. Each returns 0 or a positive errno.
#pragma once
#include <cstdint>
#include <string_view>

#include "locks/libdlm/registry.hpp"

namespace sdlm::client {

int check_lockspace_name(const char* name);
int ask_version();
int create_lockspace(std::string_view name, std::uint32_t mode, std::uint32_t flags);
// Closes the handle and returns when its locks are gone.
void close_lockspace(Use& use);
// Closes the handle, then counts the lockspace down. EINTR: a signal came while other handles were open.
int release_lockspace(Use& use, bool force);

}  // namespace sdlm::client
