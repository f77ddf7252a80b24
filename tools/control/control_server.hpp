// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's end of the control socket: a Unix stream socket of mode 0600, one JSON object per line each way.
// Nothing that a client sends, or does not read, holds up the reactor or another client; each client costs at most
// one request line and one unread reply (a page of rows, for the lock table). see tools/control/PROTOCOL.md
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "disk/base/result.hpp"
#include "disk/io/reactor.hpp"
#include "tools/control/control_target.hpp"

namespace sdlm::tools {

inline constexpr int control_version = 1;
inline constexpr std::size_t control_line_bytes_max = 64 * 1024;      // request and reply lines, newline included
inline constexpr std::size_t control_clients_max = 32;                // one more: the longest silent one is dropped
inline constexpr const char* control_socket_name = "control.sock";    // in the run directory

class ControlServer {
public:
    // Listens on `path`. The caller owns the run directory (holds its lock file), so a socket left behind there is
    // replaced; anything else in its place is an error. `message` gets a sentence for people on failure.
    // `reactor` and `target` outlive the server.
    static Result<std::unique_ptr<ControlServer>> open(disk::Reactor& reactor, const std::string& path,
                                                       ControlTarget& target, std::string& message);
    ~ControlServer();                       // closes all clients and removes the socket
    ControlServer(const ControlServer&) = delete;
    ControlServer& operator=(const ControlServer&) = delete;

private:
    struct Impl;
    explicit ControlServer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace sdlm::tools
