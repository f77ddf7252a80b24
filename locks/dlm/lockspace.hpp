// SPDX-License-Identifier: LGPL-2.1-or-later
// One libdlm lockspace on one node: who holds what, who waits, what is due towards programs. Pure: no I/O, no clock, no
// sockets; calls and node events in, callbacks out. Rules: the DLM semantics that fs/dlm shows through libdlm;
// where several nodes are concerned see DEVIATIONS.md.
//
// Use: after every call, and after every pump of the node, drain callbacks(). Nothing calls back from inside a call.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "disk/base/instant.hpp"
#include "disk/base/result.hpp"
#include "locks/core/lock_port.hpp"
#include "locks/dlm/flags.hpp"

namespace sdlm::dlm {

using locks::Mode;

// 1 .. 2^31-1; small, re-used. An id is dead (and may be re-used) as soon as a callback with `dead` is made for it.
using LockId = std::uint32_t;
inline constexpr LockId no_lock = 0;
// One open lockspace handle of a program (one client connection). Small, re-used.
using OwnerId = std::uint32_t;
inline constexpr OwnerId no_owner = 0;

inline constexpr std::size_t lvb_bytes = 32;
using LvbBytes = std::array<std::byte, lvb_bytes>;

inline constexpr std::size_t locks_max = std::size_t{1} << 20;            // per lockspace; then ENOMEM
inline constexpr std::size_t idle_resources_max = 16384;                  // kept with their cached mode and no lock
inline constexpr std::size_t reserved_ids_max = 65536;                    // of one owner, not used yet

// Numbers of the caller, never interpreted but for being zero, echoed in callbacks.
struct Cookies {
    std::uint64_t ast = 0;         // routine. Lock call: 0 is EINVAL. Unlock call: 0 keeps the lock's
    std::uint64_t arg = 0;         // argument of both routines. Unlock call: 0 keeps the lock's
    std::uint64_t bast = 0;        // routine; 0: no blocking callbacks. Unlock call: not looked at
    std::uint64_t lksb = 0;        // Lock call: 0 is EINVAL. Unlock call: 0 keeps the lock's
    friend bool operator==(const Cookies&, const Cookies&) = default;
};

// A new request, a conversion (lkf::convert) or an adoption (lkf::orphan).
struct LockCall {
    OwnerId owner = no_owner;
    std::uint32_t tid = 0;         // calling thread: the pid that purge() and the debug rows know the lock by
    std::uint32_t flags = 0;       // lkf::; unknown bits and lkf::wait are ignored
    std::uint32_t mode = 0;        // above 5: EINVAL
    LockId id = no_lock;           // conversion: the lock. New request: an id from reserve_ids(), or 0 for any
    std::string_view name;         // binary; not looked at by a conversion
    Cookies cookies;
    bool has_lvb = false;          // sb_lvbptr was not NULL; needed with lkf::valblk
    LvbBytes lvb{};                // its contents; used by conversions that write only
    std::uint32_t timeout_cs = 0;  // with lkf::timeout; 0: none
    std::uint64_t xid = 0;
};

// What a lock call says at once. error 0: accepted. With `completes` a completion will follow - exactly one - also when
// the request has failed already (NOQUEUE); without, the call is all there is (adoption).
struct LockResult {
    std::int32_t error = 0;        // positive errno, for the caller; nothing has happened and no callback follows
    LockId id = no_lock;           // also of a new request that has failed by now
    bool completes = false;
    friend bool operator==(const LockResult&, const LockResult&) = default;
};

struct UnlockCall {
    OwnerId owner = no_owner;
    LockId id = no_lock;
    std::uint32_t flags = 0;       // within lkf::unlock_all, else EINVAL
    Cookies cookies;
    bool has_lvb = false;
    LvbBytes lvb{};                // written with lkf::valblk from PW or EX
};

struct UnlockResult {
    std::int32_t error = 0;        // positive errno
    bool completes = false;        // false with error 0: cancel of an idle lock, nothing follows
    friend bool operator==(const UnlockResult&, const UnlockResult&) = default;
};

struct PurgeCall {
    OwnerId owner = no_owner;
    std::uint32_t tid = 0;         // of the caller
    std::uint32_t node = 0;        // 0 or the own node id; another one: ENOBUFS (DEVIATIONS.md)
    std::uint32_t pid = 0;         // the caller's tid: all of its own locks; 0: all orphans; else that pid's orphans
};

// A completion (AST) or a blocking notice (BAST), in the order in which they are due. Completions change the lksb:
// status, id and sb_flags, then, if has_lvb, the 32 bytes. A blocking notice leaves the lksb alone.
struct Callback {
    enum class Kind : std::uint8_t { completion, blocking };
    Kind kind = Kind::completion;
    Mode mode = Mode::NL;          // completion: granted mode (unless dead). blocking: the mode that is wanted
    std::uint8_t sb_flags = 0;
    bool has_lvb = false;          // completion: the value goes into the caller's buffer
    bool dead = false;             // completion: the id is dead
    OwnerId owner = no_owner;
    LockId id = no_lock;
    std::int32_t status = 0;       // 0, EAGAIN, EDEADLK, ETIMEDOUT, status_cancel, status_unlock, ENOMEM, EIO
    Cookies cookies;
    LvbBytes lvb{};
};

struct LockRow {                   // one lock, for <ls>_locks and <ls>_all
    LockId id = no_lock;
    std::uint32_t pid = 0;
    std::uint64_t xid = 0;
    std::uint32_t flags = 0;       // of its last operation
    int status = 0;                // 1 waiting, 2 granted, 3 converting
    int granted = -1, wanted = -1; // modes; -1: none
    std::uint64_t time_us = 0;     // since the last operation was made or granted
    bool orphan = false;
    std::uint32_t process = 0;
    std::string_view name;         // valid until the next call of the lockspace
};

struct ResourceRow {               // one resource with locks
    std::string_view name;
    LvbBytes lvb{};
    std::uint64_t lvb_version = 0; // 0: never written
    bool lvb_valid = true;
    Mode held = Mode::NL;          // what the node holds of it
    Mode blocked = Mode::NL;       // what other nodes wait for
    std::vector<LockRow> granted, converting, waiting;
};

struct WaiterRow {                 // a lock whose answer depends on other nodes, for <ls>_waiters
    LockId id = no_lock;
    bool converts = false;
    std::uint64_t time_us = 0;
    std::string_view name;
};

struct LockspaceCounts {
    std::size_t owners = 0, locks = 0, orphans = 0, resources = 0, idle_resources = 0, waiting = 0;
};

class Lockspace final : public locks::LockEvents {
public:
    // `node_id`: what libdlm programs know this node by. `patience`: how long a NOQUEUE operation may wait behind
    // another local one whose answer from the other nodes is still open (two heartbeats). Call join() before anything
    // else.
    Lockspace(locks::LockPort& port, std::string name, std::uint32_t node_id, Duration patience = milliseconds(1000));
    ~Lockspace() override;
    Lockspace(const Lockspace&) = delete;
    Lockspace& operator=(const Lockspace&) = delete;

    Result<void> join();
    // From now on all requests take part in the search for deadlocks over several resources and nodes
    // (DLM_LSFL_TIMEWARN); without, only those with a timeout. See DEVIATIONS.md for what is searched.
    void search_deadlocks();
    // Ends everything, without callbacks, and leaves at the port. Only the destructor may follow.
    void leave();
    const std::string& name() const;

    // A handle was opened by `process` (any number that is the same for all handles of a program and for no other
    // program).
    OwnerId add_owner(std::uint32_t process);
    // The handle's last copy is closed, or its program died: locks go without callbacks, PERSISTENT ones become
    // orphans, values that were open for writing (PW, EX) become not valid. The id may be given out again. Undrained
    // callbacks to the owner stay in callbacks(): the caller drops them.
    void remove_owner(OwnerId owner);
    // Ids for later new requests of this owner, so that a client can know the id before it asks. Up to `count`; fewer
    // when a bound is reached. They stay the owner's until used or until it goes.
    std::size_t reserve_ids(OwnerId owner, std::size_t count, std::vector<LockId>& out);

    LockResult lock(const LockCall& call, Instant now);
    // Also cancels (lkf::cancel).
    UnlockResult unlock(const UnlockCall& call, Instant now);
    // A cancel whose status is EDEADLK. id 0: EINVAL.
    UnlockResult deadlock_cancel(OwnerId owner, LockId id, std::uint32_t flags, Instant now);
    // Returns a positive errno or 0. No callbacks for what is purged.
    std::int32_t purge(const PurgeCall& call);

    // Ends what has waited longer than its timeout. next_deadline(): when to call it at the latest.
    void expire(Instant now);
    Instant next_deadline() const;

    // What is due towards programs, oldest first. The caller moves it out or clears it after each input.
    std::vector<Callback>& callbacks();

    // Over: every waiting operation has completed with EIO, calls get ENOTCONN.
    bool lost() const;
    bool has_locks() const;        // orphans count
    LockspaceCounts counts() const;
    // Locks in the order of their ids; resources in the order of their names; waiters by id.
    std::vector<LockRow> lock_rows(Instant now) const;
    std::vector<ResourceRow> resource_rows(Instant now) const;
    std::vector<WaiterRow> waiter_rows(Instant now) const;

    // From the node, by way of LockPort::join().
    void granted(locks::Handle handle, Mode mode, const locks::Lvb& lvb) override;
    void refused(locks::Handle handle, locks::Refusal why) override;
    void blocked(locks::Handle handle, Mode mode) override;
    void lease_lost() override;

    struct Impl;
private:
    std::unique_ptr<Impl> impl_;
};

}  // namespace sdlm::dlm
