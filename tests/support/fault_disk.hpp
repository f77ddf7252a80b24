// SPDX-License-Identifier: LGPL-2.1-or-later
// A disk that fails on command: a FUSE mount with one file, disk.img, over a backing file. Several may serve one
// backing file, so that each node of a test has its own view and its own faults. Runs as a process of its own, which
// ends with this object; what hangs then is answered with EIO.
#pragma once
#include <signal.h>

#include <cstdint>
#include <memory>
#include <string>

#include "tests/support/child_process.hpp"

namespace sdlm::test {

class FaultDisk {
public:
    // Makes `directory` and mounts there. Throws std::runtime_error.
    FaultDisk(const std::string& backing, const std::string& directory);
    ~FaultDisk();
    FaultDisk(const FaultDisk&) = delete;
    FaultDisk& operator=(const FaultDisk&) = delete;

    const std::string& image() const { return image_; }
    // A rule (see fault_disk_rules.hpp), from now on; its id. Throws std::runtime_error when it is refused.
    unsigned inject(const std::string& rule);
    void clear(unsigned id) { command("clear " + std::to_string(id)); }
    void clear() { command("clear"); }                                     // all rules; what hangs goes on
    void truncate(std::uint64_t bytes) { command("truncate " + std::to_string(bytes)); }
    void vanish() { command("vanish"); }                                   // ENODEV for good
    void swap(const std::string& backing) { command("swap " + backing); }  // another disk under the same name
    // From `status`: reads, writes, hung, or rule.ID: how often that rule has counted.
    std::uint64_t count(const std::string& name);
    std::uint64_t hits(unsigned id) { return count("rule." + std::to_string(id)); }
    void kill() { process_->kill(SIGKILL); }

private:
    std::string command(const std::string& line);

    std::string directory_, image_;
    std::unique_ptr<ChildProcess> process_;
    int control_ = -1;
};

}  // namespace sdlm::test
