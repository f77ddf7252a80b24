// SPDX-License-Identifier: LGPL-2.1-or-later
// One resource as one node sees it: its own demand and record, and the records of the other nodes.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "disk/base/instant.hpp"
#include "disk/format/record.hpp"
#include "locks/core/lock_port.hpp"
#include "locks/core/log_writer.hpp"

namespace sdlm::locks {

using disk::LockRecord;
using disk::Phase;
using ResourceIndex = std::uint32_t;

struct PeerRecord {
    NodeIndex node = no_node;
    std::uint32_t stamp = 0;              // counts while it is not below the node's valid_from
    LockRecord record;
};

// When a changed record must go out: with whatever is written next, within a few milliseconds, or at once.
enum class Urgency : std::uint8_t { none, lazy, soon, urgent };

struct Resource {
    ResourceKey key;
    ResourceIndex self = 0;               // place in the table
    std::vector<PeerRecord> peers;        // few; unordered, one per node

    // LVB history, for values that a dead node left or may have lost (locks/PROTOCOL.md §6). Ordinals count in this
    // process.
    std::uint64_t version_seen = 0;       // newest version that any record showed
    std::uint64_t version_seen_at = 0;    // ordinal of that sight
    std::uint64_t death = 0;              // ordinal of the newest death that may have moved or spoiled the value
    std::uint64_t floor = 0;   // version that some keeper showed since the own need is known: less than that is a loss
    std::uint64_t suspect_at = 0;         // ordinal of the death of a node that may have been writing; 0 = none
    std::uint64_t unsettled = 0;   // ordinal of the newest death whose heirs have not all published yet; 0 = none

    // Own side.
    bool used_slot = false;               // this Resource object is in use
    bool open = false;
    std::uint16_t handle_tag = 0;         // tells a dead handle from the present one
    LockEvents* events = nullptr;
    Demand demand;
    Mode held = Mode::NL;                 // what this node may use or cache now; never weaker than demand.used
    Mode blocked = Mode::NL;              // what the client was told that others wait for
    Phase phase = Phase::none;
    std::uint64_t ticket = 0;
    bool placed = false;                  // the ticket is not provisional any more
    std::vector<NodeIndex> after;         // nodes whose want was seen, without a place, before this one was made
    Instant place_by = never;             // when it takes its place all the same
    std::uint64_t stake_write = 0;   // write that first showed that this node needs the resource; 0 = not composed yet
    bool settling = false;                // would be granted, but for changed_read
    std::uint64_t changed_read = 0;       // a value may have moved between nodes while this read was under way
    std::uint64_t flag_write = 0;         // write that carried the present flag; 0 = not composed yet
    Instant deadline = never;             // of a noqueue want
    std::uint64_t tag = 0;                // of the want, in the deadlock search
    Instant cycle_at = never;             // since when a cycle through it has been seen
    std::uint64_t answered = 0;
    Instant conflict_at{INT64_MIN / 2};   // when another node last wanted what was held
    Lvb lvb;                              // as the client sees it
    bool lapsed = false;                  // `carried` is from before this node had no need of it for a while
    bool lvb_dirty = false;               // written under the present PW/EX and not published
    Lvb carried;                          // what the own record carries
    std::size_t reserved_bytes = 0;       // of the area, while open

    // Publication.
    EntryId entry = no_entry;
    LockRecord published;                 // as last handed to the log; meaningful while entry is valid
    Urgency dirty = Urgency::none;
    bool touched = false;                 // is in the list of resources to evaluate
    bool adopting = false;                // an orphaned value waits for a better view
    bool listed = false;                  // is in the list of pending resources

    Mode target() const;                  // mode that the want arbitrates for
    bool needs() const;                   // the own side keeps the resource (and its LVB) alive
    bool orphan() const { return !needs() && carried.version > 0; }
};

}  // namespace sdlm::locks
