// SPDX-License-Identifier: LGPL-2.1-or-later
// libdlm's lockspaces on this node: the control socket for create and release, and one ClientLockspace each. On the
// reactor's thread; the daemon calls before_pump() and after_pump() around the node's pump. see locks/wire/CLIENT.md
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "tools/sdlmd/client_lockspace.hpp"

namespace sdlm::tools {

inline constexpr std::size_t client_connections_max = 64;          // of the control socket
inline constexpr std::size_t client_lockspaces_max = 1024;

struct ClientCounts {
    std::size_t lockspaces = 0;
    std::size_t handles = 0;                                       // open, of all lockspaces
    std::size_t locks = 0;
};

class ClientService {
public:
    // `reactor` and `port` outlive it. The run directory is the caller's alone.
    static Result<std::unique_ptr<ClientService>> open(disk::Reactor& reactor, locks::LockPort& port,
                                                       const std::string& run_dir, std::string& message);
    ~ClientService();
    ClientService(const ClientService&) = delete;
    ClientService& operator=(const ClientService&) = delete;

    void live(NodeIndex node);                                     // lockspaces may be made from now on
    void lost();                                                   // the lease: takes effect in after_pump()
    void leave();                                                  // ends every lockspace now
    void before_pump(Instant now);
    Instant after_pump(Instant now);                               // when to pump again at the latest
    ClientCounts counts() const;
    // Called when a lockspace has been made or removed, before its maker is told.
    std::function<void()> lockspaces_changed;
    // Called for every program that opens a lockspace, and with what that returned when it is closed. Both or none.
    std::function<std::uint64_t(const std::string& lockspace, pid_t process)> opened;
    std::function<void(std::uint64_t)> closed;
    const std::map<std::string, std::unique_ptr<ClientLockspace>>& lockspaces() const { return lockspaces_; }

private:
    struct Connection {
        UniqueFd fd;
        ucred peer{};
        std::uint64_t active = 0;                                  // order of last activity
        std::string releases;                                      // waits for this lockspace to be closed by others
    };

    ClientService(disk::Reactor& reactor, locks::LockPort& port, std::string run_dir);
    Result<void> listen(std::string& message);
    void accept_some();
    void ready(int fd);
    void drop(int fd);
    void drop_most_silent();
    bool answer(int fd, std::int32_t error);
    // What to answer; nullopt: later.
    std::optional<std::int32_t> serve(Connection& connection, const wire::Message& request);
    std::int32_t create(const Connection& connection, const wire::CreateLockspace& request);
    std::optional<std::int32_t> release(Connection& connection, const wire::ReleaseLockspace& request);
    void settle(std::uint64_t owner);
    void finish_releases();

    disk::Reactor& reactor_;
    locks::LockPort& port_;
    const std::string run_dir_;
    PacketBatch batch_;
    UniqueFd listener_, spare_;
    std::map<int, Connection> connections_;
    std::map<std::string, std::unique_ptr<ClientLockspace>> lockspaces_;
    std::uint64_t activity_ = 0;
    Instant next_look_ = never;
    std::optional<std::uint32_t> node_id_;                         // while live
    bool lost_ = false;
};

}  // namespace sdlm::tools
