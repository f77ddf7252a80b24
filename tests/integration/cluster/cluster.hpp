// SPDX-License-Identifier: LGPL-2.1-or-later
// Real nodes on one disk: mkfs.sdlm, one sdlmd with one dlmfs mount per node, programs that use the mounts.
#pragma once
#include <sys/types.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "tests/support/child_process.hpp"
#include "tests/support/forked_program.hpp"
#include "tests/support/loop_device.hpp"
#include "tests/support/temp_dir.hpp"

namespace sdlm {

struct ClusterOptions {
    unsigned nodes = 2;
    unsigned block_bytes = 512;
    bool loop = false;                     // else: the image file itself
    friend void PrintTo(const ClusterOptions& o, std::ostream* out) {
        *out << o.nodes << " nodes, block " << o.block_bytes;
    }
};

class Cluster {
public:
    // Empty, or why it cannot run here.
    std::string start(const ClusterOptions& options);
    ~Cluster();

    std::string file(unsigned node, const std::string& name) const { return mount(node) + "/domain/" + name; }
    std::string mount(unsigned node) const { return dir_.file("mnt-" + std::to_string(node)); }
    std::string run_dir(unsigned node) const { return dir_.file("run-" + std::to_string(node)); }
    const std::string& device() const { return device_; }
    test::ChildProcess& daemon(unsigned node) { return *daemons_[node]; }
    void kill_daemon(unsigned node);       // SIGKILL; its mount is taken away
    std::string tool(const std::vector<std::string>& arguments, int expected_code = 0);

private:
    test::TempDir dir_;
    std::string device_;
    std::unique_ptr<test::LoopDevice> loop_;
    std::vector<std::unique_ptr<test::ChildProcess>> daemons_;
};

// A forked program; `body` returns its exit code. Killed by its id when it still runs at the end.
class Program : public test::ForkedProgram {
public:
    explicit Program(const std::function<int()>& body)
        : ForkedProgram(body, {.seconds_max = 100, .descriptors = test::Descriptors::closed}) {}
};

}  // namespace sdlm
