// SPDX-License-Identifier: LGPL-2.1-or-later
// Processes by descriptor (pidfd): a number that was given away meanwhile harms nobody.
#pragma once
#include <sys/types.h>

#include "tools/common/unique_fd.hpp"

namespace sdlm::tools {

// Empty, with errno, when there is no such process or no descriptor.
UniqueFd open_process(pid_t pid);
// Waits for its end, `patience_ms` at most; 0 only looks, -1 waits for ever.
bool process_ended(int process, int patience_ms);
void signal_process(int process, int signal);

}  // namespace sdlm::tools
