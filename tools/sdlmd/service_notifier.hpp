// SPDX-License-Identifier: LGPL-2.1-or-later
// The sd_notify(3) protocol by hand: datagrams to $NOTIFY_SOCKET. Without one, every call does nothing.
#pragma once
#include <optional>
#include <string>

#include "disk/base/instant.hpp"
#include "tools/common/unique_fd.hpp"

namespace sdlm::tools {

class ServiceNotifier {
public:
    // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. A socket that cannot be reached is as good as none.
    ServiceNotifier();
    // "READY=1", "STOPPING=1", "STATUS=..." and so on; several lines are one message. Never blocks.
    void send(const std::string& message) const;
    // Sends WATCHDOG=1 when half of the time has passed; returns when the next one is due, `never` without a watchdog.
    Instant keep_alive(Instant now);

private:
    UniqueFd socket_;
    std::optional<Duration> watchdog_;
    Instant next_{};
};

}  // namespace sdlm::tools
