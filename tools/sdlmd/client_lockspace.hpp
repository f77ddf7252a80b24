// SPDX-License-Identifier: LGPL-2.1-or-later
// One lockspace of this node: its socket file, whose mode says who may open it, and the owners that have it open.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "disk/io/reactor.hpp"
#include "tools/sdlmd/client_owner.hpp"

namespace sdlm::tools {

inline constexpr std::size_t owners_max = 16384;                   // of one lockspace
inline constexpr std::size_t owners_of_user_max = 1024;            // of one user other than root
inline constexpr unsigned messages_per_round = 256;                // taken from one owner
inline constexpr unsigned busy_operations = 8;                     // under way: the owner does not wait for each one
inline constexpr unsigned busy_looks_max = 4;                      // without a request: not busy any more
inline constexpr Duration busy_pause{40'000};                      // between two looks

class ClientLockspace {
public:
    // `batch` and `reactor` outlive it. A positive errno on failure; `mode` 0 stands for 0660.
    static int open(disk::Reactor& reactor, locks::LockPort& port, PacketBatch& batch, const std::string& directory,
                    const std::string& name, std::uint32_t mode, std::uint32_t node_id,
                    std::unique_ptr<ClientLockspace>& out);
    ~ClientLockspace();                                            // disconnects everybody, leaves
    ClientLockspace(const ClientLockspace&) = delete;
    ClientLockspace& operator=(const ClientLockspace&) = delete;

    dlm::Lockspace& locks() { return locks_; }
    const dlm::Lockspace& locks() const { return locks_; }
    // Another value: its locks may have changed.
    std::uint64_t changes() const { return changes_; }
    std::size_t owners() const { return owners_.size(); }
    int set_mode(std::uint32_t mode) const;
    // If every copy of the owner's sockets is closed, its end takes effect now.
    bool settle(std::uint64_t token);
    // Looks at busy owners; when to do so again, or never.
    Instant look(Instant now);
    // Hands out what the locks have to say and sends what clients can take.
    enum class Flushed : std::uint8_t { all, with_ends };          // with_ends: demands have changed
    Flushed flush();
    // After the lease: the last callbacks, then the end of every connection.
    void disconnect_all();

    // Of every program that opens it: `opened` names its process to whoever must stop it when the lease is over,
    // `closed` gets what that returned.
    std::function<std::uint64_t(pid_t)> opened;
    std::function<void(std::uint64_t)> closed;

    std::uint32_t creates = 1;                                     // create calls minus release calls

private:
    struct Arrival {                                               // connected, has not said Hello
        UniqueFd fd;
        ucred peer{};
    };

    ClientLockspace(disk::Reactor& reactor, locks::LockPort& port, PacketBatch& batch, const std::string& directory,
                    const std::string& name, std::uint32_t node_id);
    int listen(std::uint32_t mode);
    void accept_some();
    bool may_come(const ucred& peer) const;
    void greet(int fd);
    int welcome(Arrival arrival);
    void requests_ready(dlm::OwnerId id);
    void callbacks_ready(dlm::OwnerId id, std::uint32_t revents);
    void set_timed(dlm::OwnerId id);
    void flush_once();
    void flush(dlm::OwnerId id);
    void drain_and_end(dlm::OwnerId id);
    void mark(dlm::OwnerId id);
    void end(dlm::OwnerId id);

    disk::Reactor& reactor_;
    PacketBatch& batch_;
    const std::string path_;
    UniqueFd listener_, spare_;
    bool joined_ = false;
    dlm::Lockspace locks_;
    std::map<int, Arrival> arrivals_;
    std::vector<std::unique_ptr<ClientOwner>> owner_of_id_;        // ids are small
    std::map<std::uint64_t, dlm::OwnerId> owners_;                 // by token
    std::map<dlm::OwnerId, std::uint64_t> holds_;                  // what `opened` returned
    std::vector<dlm::OwnerId> marked_;                             // have something to send, perhaps
    std::map<uid_t, std::size_t> owners_of_user_;
    std::vector<dlm::OwnerId> timed_;                              // busy owners
    std::uint64_t changes_ = 0;
};

}  // namespace sdlm::tools
