// SPDX-License-Identifier: LGPL-2.1-or-later
// The kernel's watchdog device: not fed for its timeout, it resets the host. A regular file in its place, for tests, gets
// what the device would get. see Linux Documentation/watchdog/watchdog-api.rst
#pragma once
#include <string>

#include "disk/base/instant.hpp"
#include "disk/base/result.hpp"
#include "tools/common/unique_fd.hpp"

namespace sdlm::tools {

class Watchdog {
public:
    // Opens (which starts it) and sets the timeout, rounded down to whole seconds by the device. bad_argument: the
    // device's timeout stays above `timeout`. `message` is a sentence for people on failure.
    static Result<Watchdog> open(const std::string& path, Duration timeout, std::string& message);

    // One that another process has opened.
    static Watchdog adopt(int fd, Duration timeout) { return {UniqueFd(fd), timeout}; }

    int fd() const { return fd_.get(); }
    Duration timeout() const { return timeout_; }        // as the device has it
    bool feed() const;
    // Stops it, where the device allows that (magic close); else it fires after its timeout.
    void close();

private:
    Watchdog(UniqueFd fd, Duration timeout) : fd_(std::move(fd)), timeout_(timeout) {}
    UniqueFd fd_;
    Duration timeout_;
};

}  // namespace sdlm::tools
