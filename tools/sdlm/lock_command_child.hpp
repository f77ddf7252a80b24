// SPDX-License-Identifier: LGPL-2.1-or-later
// The command that sdlm lock runs, with everything it starts.
#pragma once
#include <signal.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "disk/base/instant.hpp"

namespace sdlm::tools {

class LockedCommand {
public:
    // Starts it, with the signal mask `mask`. From now on this process is the one that orphaned grandchildren come to.
    // False: fork failed, errno is set.
    bool start(const std::vector<std::string>& command, const sigset_t& mask);
    void signal(int number) const;               // to the command itself
    // Takes ended processes off the system; the exit code (128 + n for a signal) once the command itself has ended.
    std::optional<int> reap();
    // Ends the command and all that it has started: TERM, KILL after `grace`. False: something cannot be killed.
    bool end_all(Duration grace);

private:
    pid_t pid_ = -1;
    std::optional<int> code_;
};

}  // namespace sdlm::tools
