// SPDX-License-Identifier: LGPL-2.1-or-later
// One emulated machine with disks that it shares with others, and what it says on its serial line.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "tests/support/child_process.hpp"

namespace sdlm {

struct MachineOptions {
    std::string guest;                   // directory with vmlinuz and initramfs
    std::vector<std::string> disks;      // raw images: /dev/vda, /dev/vdb
    std::string directory;               // for its sockets
    std::string name;
};

class Machine {
public:
    // Throws std::runtime_error when it does not come up.
    explicit Machine(const MachineOptions& options);
    ~Machine();
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    // Runs a line of shell there; its output. Throws std::runtime_error unless it ends with 0.
    std::string run(const std::string& line);
    // What it says later: a line that comes from the background. False when it does not come.
    bool wait_for(const std::string& line, int bound_ms = 60'000);
    bool says(const std::string& line) { return wait_for(line, 0); }
    void pause() { control("stop"); }
    void resume() { control("cont"); }
    void kill();                                     // as if its power had gone
    const std::string& text() const { return text_; }

private:
    void control(const std::string& command);        // of QEMU's monitor
    bool read_some(int bound_ms);

    std::string name_, text_;
    std::unique_ptr<test::ChildProcess> qemu_;
    int serial_ = -1, monitor_ = -1;
};

}  // namespace sdlm
