// SPDX-License-Identifier: LGPL-2.1-or-later
// The border between node-level locks (this node against the others) and whoever arbitrates inside the node
// (dlmfs, libdlm lockspaces, tests). Level-triggered: a client states its demand, the node answers with events.
// One thread; no event is delivered from inside a call.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "disk/base/result.hpp"
#include "disk/format/record.hpp"

namespace sdlm::locks {

using disk::Lvb;
using disk::Mode;
using disk::ResourceKey;

using Handle = std::uint32_t;
inline constexpr Handle no_handle = 0;

struct Want {
    Mode mode = Mode::NL;
    bool noqueue = false;          // refuse rather than wait
    bool noqueue_bast = false;     // a noqueue want that is to be shown to holders
    bool convert = false;          // converts a mode in use: goes before new requests of other nodes
    bool deadlock_wait = false;    // a conversion that waits also where another node's conversion deadlocks with it
    std::uint64_t owner_tag = 0;   // not 0: takes part in the search for deadlocks over several resources and nodes
    bool spared = false;           // ... but is never its victim
    friend bool operator==(const Want&, const Want&) = default;
};

// All that the node needs of one resource now. Setting the same demand twice changes nothing.
struct Demand {
    Mode used = Mode::NL;          // least mode that covers every local grant; never above what was granted
    std::optional<Want> want;      // the first ungranted local request; nullopt withdraws it (no event follows)
    bool interest = true;          // keep the LVB alive while nothing is held
    bool cache = true;             // may keep the mode after `used` goes down; false: release at once
    // Deadlock search: resources of this node whose wants the local holders of this one wait for; no_handle at the end.
    // More than fit: any of them, in turns.
    std::array<Handle, disk::waits_for_max> waits_on{};
    friend bool operator==(const Demand&, const Demand&) = default;
};

enum class Refusal : std::uint8_t {
    would_block,                   // noqueue, and a conflicting mode is in use or waited for
    deadlock,                      // conversion deadlock with another node, or chosen as victim of a cycle of waits
    no_space,                      // the node's area is full (ENOSPC)
};

class LockEvents {
public:
    virtual ~LockEvents() = default;
    // The want is granted: `used` now covers it and the want is cleared. `lvb` is the newest value.
    virtual void granted(Handle handle, Mode mode, const Lvb& lvb) = 0;
    // The want is refused and cleared.
    virtual void refused(Handle handle, Refusal why) = 0;
    // Another node waits for `mode`, which conflicts with `used` (a blocking AST). Sent when the mode rises;
    // NL says that nobody waits any more. While blocked, do not grant new local requests above what `mode` allows.
    virtual void blocked(Handle handle, Mode mode) = 0;
    // The node's lease is over: nothing is held any more, no further event follows, ever.
    virtual void lease_lost() = 0;
};

class LockPort {
public:
    virtual ~LockPort() = default;
    // Membership of a lockspace (dlmfs: domain). exists: joined already on this node (one client owns a lockspace);
    // fenced / not_found: the node is not live. Membership is published with the next write.
    virtual Result<void> join(const std::string& lockspace, LockEvents& events) = 0;
    // All handles of the lockspace must be closed.
    virtual void leave(const std::string& lockspace) = 0;

    // A handle for a resource of a joined lockspace; at most one per resource. too_large: name too long;
    // bad_argument: lockspace not joined; exists: open already; no_space: table or area full.
    virtual Result<Handle> open(const ResourceKey& key) = 0;
    // Drops used mode, want and interest (the cached mode goes too). The handle is dead at once.
    virtual void close(Handle handle) = 0;

    virtual void set_demand(Handle handle, const Demand& demand) = 0;
    // The value as this node knows it. Current only while a mode above NL is in use.
    virtual const Lvb& lvb(Handle handle) const = 0;
    // Allowed while PW or EX is in use. Published when the node goes below PW. `valid` false: marks the value not
    // valid.
    virtual void write_lvb(Handle handle, std::span<const std::byte> value, bool valid) = 0;
    // What the node holds now (used or cached).
    virtual Mode held(Handle handle) const = 0;
};

}  // namespace sdlm::locks
