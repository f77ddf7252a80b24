// SPDX-License-Identifier: LGPL-2.1-or-later
// What the guardian must know when its daemon can say nothing any more: one page of facts and a table of the processes
// that hold locks, in memory that both share. The daemon writes, the guardian reads; each field is one atomic. Both are
// the same program, so the layout needs no version. see ARCHITECTURE.md, "The guardian"
#pragma once
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "disk/base/ids.hpp"
#include "disk/base/instant.hpp"
#include "heartbeat/timing.hpp"
#include "tools/common/client_policy.hpp"

namespace sdlm::tools {

enum class DaemonPhase : std::uint32_t {
    no_locks,    // joining, or never live
    live,
    over,        // left cleanly, or nothing of it is used any more: nothing to guard
};

inline constexpr std::size_t ledger_holders_max = 65'536;

struct LedgerHolder {
    std::atomic<std::uint32_t> pid;               // 0: free
    std::atomic<std::uint32_t> kills, resets;     // locks it holds under each policy
    std::atomic<std::uint64_t> started;           // clock ticks after boot: tells it from a later process of this number
};

// Set before the guardian starts, and never again.
struct LedgerConfig {
    Uuid volume;
    std::uint32_t block_bytes;
    std::int64_t heartbeat_ns, lease_ns, io_timeout_ns;
    std::int64_t watchdog_timeout_ns;             // 0: no watchdog
};

struct Ledger {
    LedgerConfig config;
    std::atomic<DaemonPhase> phase;
    std::atomic<std::uint32_t> node;
    std::atomic<std::uint64_t> generation, nonce;
    std::atomic<std::uint64_t> submitted;         // highest sequence of a slot write handed to the kernel; set before it is
    std::atomic<std::int64_t> lease_end_ns;       // CLOCK_BOOTTIME
    std::atomic<std::int64_t> landed_by_ns;       // nothing of a failed write lands after this
    std::atomic<std::uint32_t> stop_asked;        // stop the clients now
    std::atomic<std::uint32_t> clients_stopped;   // ... done; set by the guardian
    std::atomic<std::uint32_t> told;              // locks held under `notify`, by whomever
    std::atomic<std::uint32_t> untracked;         // locks under another policy whose holders are not known
    std::atomic<std::uint32_t> holders_used;      // entries that were ever taken: the first ones
    std::array<LedgerHolder, ledger_holders_max> holders;

    heartbeat::Timing timing() const {
        return {{config.heartbeat_ns}, {config.lease_ns}, {config.io_timeout_ns}};
    }
    Instant lease_end() const { return {lease_end_ns.load()}; }
    Incarnation life() const { return {generation.load(), nonce.load()}; }
};
static_assert(std::atomic<std::int64_t>::is_always_lock_free && std::atomic<DaemonPhase>::is_always_lock_free);

// Ticks after boot at which a process began; 0: no such process. `thread` may be any thread of it; its process goes to
// `process`.
std::uint64_t process_start(pid_t thread, pid_t& process);

}  // namespace sdlm::tools
