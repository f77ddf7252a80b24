// SPDX-License-Identifier: LGPL-2.1-or-later
// The least that a FUSE file system can do: every name is an empty file that opens and closes. The measure for what
// dlmfs adds to an open and a close.
#pragma once
#include <sys/types.h>

#include <string>

namespace sdlm::bench {

class BareFuse {
public:
    // Forks: to be made before any thread. Mounted when it returns; throws std::runtime_error.
    explicit BareFuse(const std::string& directory);
    ~BareFuse();      // unmounts and waits for the child
    BareFuse(const BareFuse&) = delete;
    BareFuse& operator=(const BareFuse&) = delete;

private:
    const std::string directory_;
    pid_t child_ = -1;
};

}  // namespace sdlm::bench
