// SPDX-License-Identifier: LGPL-2.1-or-later
// sdlm with-dlm: runs a program that was written for the kernel's DLM. It finds our libdlm, and at the kernel's paths
// in /sys what the node daemon shows in its run directory.
#pragma once
#include <string>
#include <vector>

namespace sdlm::tools {

struct WithDlmOptions {
    std::string run_dir;                         // empty: the only daemon's
    std::string libdlm;                          // directory of libdlm.so.3; empty: ours
    std::vector<std::string> command;
};

// Becomes the command; returns an exit code only if that fails.
int with_dlm(const WithDlmOptions& options);

}  // namespace sdlm::tools
