// SPDX-License-Identifier: LGPL-2.1-or-later
// sdlm lock: takes one lock of a lockspace through the daemon, runs a command while it is held, lets go.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "disk/base/instant.hpp"

namespace sdlm::tools {

inline constexpr int exit_lock_lost = 125;       // the lease ended while the command ran
inline constexpr int exit_not_executable = 126;
inline constexpr int exit_no_command = 127;

enum class Sharing { exclusive, shared };        // EX or PR

struct LockOptions {
    std::string run_dir;                         // empty: the only daemon's
    std::string lockspace, name;
    Sharing sharing = Sharing::exclusive;
    std::optional<Duration> patience;            // zero: do not wait; nullopt: for ever
    int conflict_code = 1;                       // somebody else has it
    // Between TERM and KILL when the lease is lost; by default what the volume gives programs to hear of it.
    std::optional<Duration> grace;
    std::vector<std::string> command;
};

// The program's exit code.
int lock_command(const LockOptions& options);

}  // namespace sdlm::tools
