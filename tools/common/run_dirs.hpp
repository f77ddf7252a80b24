// SPDX-License-Identifier: LGPL-2.1-or-later
// Run directories of node daemons: /run/sdlm/<volume uuid>, or wherever --run-dir says.
#pragma once
#include <string>
#include <vector>

#include "disk/base/ids.hpp"
#include "disk/base/result.hpp"

namespace sdlm::tools {

inline constexpr const char* run_root = "/run/sdlm";
inline constexpr const char* run_dir_variable = "SDLM_RUN_DIR";

// `root` itself and its subdirectories that hold a control socket, in order of name.
std::vector<std::string> daemon_run_dirs(const std::string& root);

// The one meant by a tool that was given `option` (empty: nothing). not_found: none; bad_argument: several.
// `message` then says which and what to do.
Result<std::string> choose_run_dir(const std::string& option, const std::string& root, std::string& message);

std::string default_run_dir(const Uuid& volume);

// Makes `path` and its parents, mode 0755.
Result<void> make_run_dir(const std::string& path, std::string& message);

// An exclusive flock on PATH/NAME, held until destruction: tools that start or stop the daemon of one run directory
// take turns.
class RunDirLock {
public:
    static Result<RunDirLock> take(const std::string& run_dir, std::string& message);
    RunDirLock(RunDirLock&& other) noexcept;
    RunDirLock& operator=(RunDirLock&&) = delete;
    ~RunDirLock();

private:
    explicit RunDirLock(int fd) : fd_(fd) {}
    int fd_ = -1;
};

}  // namespace sdlm::tools
