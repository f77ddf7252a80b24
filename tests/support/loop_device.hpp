// SPDX-License-Identifier: LGPL-2.1-or-later
// A loop device over a file, detached at the end, also when the test process is killed (the kernel detaches it with
// the last close).
#pragma once
#include <cstdint>
#include <memory>
#include <string>

namespace sdlm::test {

struct LoopOptions {
    std::uint32_t block_bytes = 512;     // logical block size: 512 or 4096
    bool direct_io = false;              // past the page cache of the backing file, where that can be
};

class LoopDevice {
public:
    // Null when there is no loop device to be had; `reason` says why: skip the test with it.
    static std::unique_ptr<LoopDevice> attach(const std::string& file, const LoopOptions& options, std::string& reason);
    ~LoopDevice();
    LoopDevice(const LoopDevice&) = delete;
    LoopDevice& operator=(const LoopDevice&) = delete;
    const std::string& path() const { return path_; }

private:
    LoopDevice(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
    std::string path_;
    int fd_;
};

}  // namespace sdlm::test
