// SPDX-License-Identifier: LGPL-2.1-or-later
// The ground of every row: a fresh domain on both mounts, file calls that report -errno, and ways to wait for a state.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>
#include <string>

#include "tests/integration/dlmfs/client.hpp"
#include "tests/integration/dlmfs/mounts.hpp"

namespace sdlm::fs::test {

inline constexpr int a = 0, b = 1;

// A descriptor of the test program itself; for calls that are not expected to wait.
class File {
public:
    File() = default;
    File(const std::string& path, int flags) : fd_(::open(path.c_str(), flags, 0664)), error_(fd_ < 0 ? errno : 0) {}
    File(File&& other) noexcept : fd_(other.fd_), error_(other.error_) { other.fd_ = -1; }
    File& operator=(File&& other) noexcept {
        std::swap(fd_, other.fd_);
        std::swap(error_, other.error_);
        return *this;
    }
    ~File() { close(); }
    int fd() const { return fd_; }
    int error() const { return error_; }
    bool is_open() const { return fd_ >= 0; }
    void close();
    std::string read(off_t offset, std::size_t size = 200) const;   // "E<errno>" on failure
    int write(off_t offset, const std::string& text) const;         // bytes or -errno
    int poll() const;                                               // revents of everything that can be asked for

private:
    int fd_ = -1;
    int error_ = 0;
};

class Rows : public testing::Test {
protected:
    void SetUp() override;
    void TearDown() override;

    std::string root(int node) const { return mounts().root(node); }
    std::string domain(int node) const { return root(node) + "/" + domain_; }
    std::string lock(int node, const std::string& name = "lock") const { return domain(node) + "/" + name; }
    // Makes the file on that node, closed, never locked.
    void make(int node, const std::string& name = "lock") const;

    // Returns when the mount has worked off what was sent to it before, RELEASE of closed files included.
    void settle(int node) const;
    // Opens and closes, so that the node caches the mode.
    void cache(int node, int flags) const;
    // Waits until the file's poll state is `revents`.
    static bool becomes(const File& file, int revents);
    static bool eventually(const std::function<bool()>& state);
    // Starts an open that has to wait; returns when it is under way.
    void begin_blocked_open(Client& client, const std::string& path, int flags) const;
    // Passes messages through both mounts; then the open must still be waiting.
    void expect_still_waiting(Client& client) const;

    std::string domain_;
};

// errno of a call that returned `result`, 0 when it did not fail.
inline int failed(long result) { return result < 0 ? errno : 0; }

}  // namespace sdlm::fs::test
