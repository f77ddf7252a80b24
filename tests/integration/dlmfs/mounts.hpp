// SPDX-License-Identifier: LGPL-2.1-or-later
// The two mounts under test, and what can be done to their nodes. With SDLM_TEST_MOUNT_A and SDLM_TEST_MOUNT_B the
// mounts are given; SDLM_TEST_KILL_B is then a shell command that ends B's daemon with SIGKILL, SDLM_TEST_RESTART_B one
// that starts it again and returns when it is mounted. Without them a fake cluster is started.
#pragma once
#include <sys/types.h>

#include <array>
#include <string>

namespace sdlm::fs::test {

class Mounts {
public:
    // Empty, or why the tests cannot run here.
    std::string start();
    void stop();

    const std::string& root(int node) const { return roots_.at(static_cast<std::size_t>(node)); }
    bool fake() const { return server_ > 0; }
    // A command of the fake cluster; returns its answer.
    std::string command(const std::string& line);
    // Node B dies holding what it holds; false: not possible with the given mounts.
    bool kill_b();
    void restart_b();

private:
    std::string read_line();

    std::array<std::string, 2> roots_;
    std::string folder_;
    pid_t server_ = -1;
    int input_ = -1, output_ = -1;
};

Mounts& mounts();

}  // namespace sdlm::fs::test
