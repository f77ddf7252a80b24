// SPDX-License-Identifier: LGPL-2.1-or-later
// Stream records: the units of a node's published state. The newest record of a key wins; a `gone` record removes
// the key. Keys are the full names (no hash), so two names cannot collide and every block can be read by a person.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>

#include "disk/base/ids.hpp"
#include "disk/base/limits.hpp"
#include "disk/base/result.hpp"

namespace sdlm::disk {

// Ticket of a want that has no place in the line yet: after all that have one (locks/PROTOCOL.md §4).
inline constexpr std::uint64_t provisional_ticket = std::uint64_t{1} << 63;

// VMS/DLM lock modes; numbers are libdlm's.
enum class Mode : std::uint8_t { NL = 0, CR = 1, CW = 2, PR = 3, PW = 4, EX = 5 };

enum class Phase : std::uint8_t {
    none = 0,
    trying = 1,      // flag up: may be granted already, everybody later backs off
    waiting = 2,     // flag down, keeps its place
};

struct ResourceKey {
    std::string lockspace;    // 1 .. limits::lockspace_name_max bytes, no '/' and no control characters
    std::string name;         // 0 .. limits::resource_name_max bytes, binary
    friend auto operator<=>(const ResourceKey&, const ResourceKey&) = default;
};

// A lock value block. version 0: nobody has written one (reads as zeros, valid).
struct Lvb {
    std::uint64_t version = 0;
    bool valid = true;
    std::uint8_t length = 0;                                     // 0 .. limits::lvb_bytes_max
    std::array<std::byte, limits::lvb_bytes_max> bytes{};
    friend bool operator==(const Lvb&, const Lvb&) = default;
};

// Wants that one record can name as what its holders wait for.
inline constexpr std::size_t waits_for_max = 4;

// What one node holds and wants of one resource. see locks/PROTOCOL.md
struct LockRecord {
    Mode held = Mode::NL;
    Mode want = Mode::NL;                 // meaningful when phase != none
    Phase phase = Phase::none;
    bool noqueue = false;                 // the want is a trylock
    bool convert = false;                 // the want converts a mode in use: ordered before new requests
    bool noqueue_bast = false;            // a trylock that wants holders to be told (NOQUEUEBAST)
    bool interest = false;                // keeps the LVB alive although held is NL
    bool orphan_lvb = false;              // no interest of my own; whoever has some must adopt this LVB
    std::uint64_t ticket = 0;             // order among wants, ties by node; 0 = none; or provisional_ticket
    std::uint64_t answered = 0;           // trylocks up to this ticket have been told "in use"; 0 = none
    std::uint64_t owner_tag = 0;          // of the want, for the deadlock search: higher is younger; 0 = takes no part
    bool spared = false;                  // the want is no victim of the deadlock search
    std::array<std::uint64_t, waits_for_max>
        waits_for{};   // tags of this node's wants that the holders wait for; 0 = none, at the end
    Lvb lvb;                              // carried when version > 0
    bool gone() const;                    // nothing held, wanted, kept or carried: removes the key
    friend bool operator==(const LockRecord&, const LockRecord&) = default;
};

// "The incarnation of `node` was found dead; nothing of it counts after `last_sequence`."
struct EvictRecord {
    Incarnation incarnation;
    std::uint64_t last_sequence = 0;
    bool retracted = false;               // the slot has a new life: fact no longer needed (removes the key)
    bool settled = false;                 // the writer has published what the death does to values; joiners wait for it
    friend bool operator==(const EvictRecord&, const EvictRecord&) = default;
};

// "Node, incarnation: stop yourself." (poison pill)
struct FenceRecord {
    Incarnation incarnation;
    bool retracted = false;
    friend bool operator==(const FenceRecord&, const FenceRecord&) = default;
};

// Membership in a lockspace/domain, for people and for libdlm's member lists.
struct MemberRecord {
    bool left = false;                    // removes the key
    friend bool operator==(const MemberRecord&, const MemberRecord&) = default;
};

struct LockEntry {
    ResourceKey key;
    LockRecord lock;
    friend bool operator==(const LockEntry&, const LockEntry&) = default;
};
struct EvictEntry {
    NodeIndex node = no_node;
    EvictRecord evict;
    friend bool operator==(const EvictEntry&, const EvictEntry&) = default;
};
struct FenceEntry {
    NodeIndex node = no_node;
    FenceRecord fence;
    friend bool operator==(const FenceEntry&, const FenceEntry&) = default;
};
struct MemberEntry {
    std::string lockspace;
    MemberRecord member;
    friend bool operator==(const MemberEntry&, const MemberEntry&) = default;
};

using Record = std::variant<LockEntry, EvictEntry, FenceEntry, MemberEntry>;

// Most bytes that one record can take; asserted to fit into a slot's inline part.
inline constexpr std::size_t record_bytes_max = 272;

// Bytes that encode() will write: a multiple of 8, at most record_bytes_max.
std::size_t encoded_bytes(const Record& record);
std::size_t encoded_bytes(const ResourceKey& key, const LockRecord& lock);
// Appends to `out` at `at`; returns the position after it. The caller has made sure that it fits.
std::size_t encode(const Record& record, std::span<std::byte> out, std::size_t at);
std::size_t encode(const ResourceKey& key, const LockRecord& lock, std::span<std::byte> out, std::size_t at);

// Decodes the record at `at` and moves `at` behind it. bad_field names the field: record.kind, record.length,
// record.lockspace, record.mode, record.phase, record.lvb, record.reserved, record.node ...; never reads past `bytes`.
Result<Record> decode_record(std::span<const std::byte> bytes, std::size_t& at);

}  // namespace sdlm::disk
