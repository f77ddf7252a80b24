// SPDX-License-Identifier: LGPL-2.1-or-later
// The run directory of one daemon: a lock that only one daemon can hold, and small files that tell people and
// scripts what it does. Each file is replaced whole.
#pragma once
#include <string>

#include "disk/base/result.hpp"
#include "tools/common/unique_fd.hpp"

namespace sdlm::tools {

class RunFiles {
public:
    // Makes the directory, takes its lock, removes what an earlier daemon left. busy: a daemon runs there. `message` is
    // a sentence for people on failure.
    static Result<RunFiles> claim(const std::string& directory, std::string& message);
    RunFiles(RunFiles&&) = default;
    RunFiles& operator=(RunFiles&&) = delete;
    ~RunFiles();      // removes the files; the lock file stays, so that nobody locks a removed one

    const std::string& directory() const { return directory_; }
    // NAME: pid, device, uuid, node, state. A newline is added.
    Result<void> set(const char* name, const std::string& value) const;
    // For a bad end: `state` stays and tells of it.
    void keep_state() { state_kept_ = true; }

private:
    RunFiles(std::string directory, UniqueFd lock) : directory_(std::move(directory)), lock_(std::move(lock)) {}
    std::string directory_;
    UniqueFd lock_;
    bool state_kept_ = false;
};

}  // namespace sdlm::tools
