// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's end: starts the guardian, starts it again when it dies, and keeps the ledger true.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "disk/base/result.hpp"
#include "disk/format/superblock.hpp"
#include "disk/io/reactor.hpp"
#include "locks/node/node_core.hpp"
#include "tools/guardian/guardian.hpp"

namespace sdlm::tools {

class GuardianLink {
public:
    using HoldId = std::uint64_t;

    // Starts it. `watchdog`: a device's path, or empty. `message` is a sentence for people on failure.
    static Result<std::unique_ptr<GuardianLink>> start(const disk::Superblock& superblock,
                                                       const heartbeat::Timing& timing, int device,
                                                       const std::string& watchdog, std::string& message);
    // As over(); but while locks may still be in use the guardian goes on, as after a crash.
    ~GuardianLink();
    GuardianLink(const GuardianLink&) = delete;
    GuardianLink& operator=(const GuardianLink&) = delete;

    // On the reactor's thread from now on. `clients_stopped` follows ask_stop().
    void watch(disk::Reactor& reactor, std::function<void()> clients_stopped);
    // Before the writes that the facts speak of are handed to the kernel.
    void note(const node::LeaseFacts& facts);
    void ask_stop();
    // Nothing is held and nothing is written any more. Waits for its end.
    void over();
    pid_t pid() const { return pid_; }
    bool has_watchdog() const { return watchdog_.has_value(); }
    Duration watchdog_timeout() const { return watchdog_ ? watchdog_->timeout() : Duration{}; }

    // A lock is held by the process that `thread` belongs to, from before its holder learns of that until drop().
    HoldId hold(pid_t thread, ClientPolicy policy);
    void drop(HoldId id);

private:
    GuardianLink() = default;
    Result<void> spawn(std::string& message);
    void ended();
    void unwatch();
    LedgerHolder* entry_of(pid_t process, std::uint64_t started);

    struct Hold {
        LedgerHolder* entry = nullptr;           // null: counted without a name
        ClientPolicy policy = ClientPolicy::notify;
    };

    Ledger* ledger_ = nullptr;
    UniqueFd memory_, self_, wake_, answer_, process_;
    int device_ = -1;
    std::optional<Watchdog> watchdog_;
    pid_t pid_ = -1;
    Instant spawned_;
    disk::Reactor* reactor_ = nullptr;
    std::function<void()> clients_stopped_;
    std::map<HoldId, Hold> holds_;
    HoldId next_hold_ = 1;
    std::map<pid_t, LedgerHolder*> entries_;     // taken
    std::vector<LedgerHolder*> free_;
};

}  // namespace sdlm::tools
