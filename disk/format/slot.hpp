// SPDX-License-Identifier: LGPL-2.1-or-later
// A slot: one block, written only by the node that has claimed it (exception: claiming, heartbeat/PROTOCOL.md §3).
// It is the heartbeat and the newest end of the node's record stream.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "disk/base/ids.hpp"
#include "disk/base/result.hpp"
#include "disk/format/record.hpp"

namespace sdlm::disk {

enum class SlotState : std::uint8_t { free = 0, claiming = 1, live = 2, leaving = 3, left = 4, fenced = 5 };
const char* text(SlotState state) noexcept;

// How the life before this one ended, as the claimer knows it.
enum class PreviousEnd : std::uint8_t { none = 0, left = 1, fenced = 2, evicted = 3, gone = 4 };

// Position of a node's record stream. Records are numbered from 1 in one incarnation; pages from 0.
struct StreamPosition {
    std::uint32_t epoch = 0;           // changes when a reader must start again from `tail`
    bool complete = false;             // the inline records are the whole state; the journal is not needed
    std::uint64_t tail = 0;            // oldest journal page that is needed
    std::uint64_t head = 0;            // page after the newest; tail == head: no page is needed
    std::uint64_t inline_first = 0;    // the inline records hold every change of [inline_first, last]
    std::uint64_t last = 0;            // number of the newest record; 0 = none yet
    friend bool operator==(const StreamPosition&, const StreamPosition&) = default;
};

struct SlotHeader {
    NodeIndex node = no_node;
    SlotState state = SlotState::free;
    Incarnation incarnation;           // none in a slot that was never claimed
    std::uint64_t sequence = 0;        // grows with every write of this incarnation: peers watch it change
    Uuid host;                         // host UUID of the owner
    std::uint64_t boot = 0;            // digest of the host's boot id: another one proves that the old life is gone
    Incarnation previous;              // the life that this claim replaced
    PreviousEnd previous_end = PreviousEnd::none;
    std::uint64_t previous_sequence = 0;
    bool unsettled = false;            // a failed write may still land over this image: nothing may rely on it yet
    StreamPosition stream;
    std::uint64_t clock = 0;           // highest LVB version that this node has given or seen: none comes twice
    std::uint32_t write_us = 0;        // latency of the last slot write, for status only
    std::uint32_t read_us = 0;         // latency of the last read of all slots, for status only
    friend bool operator==(const SlotHeader&, const SlotHeader&) = default;
};

inline constexpr std::size_t slot_header_bytes = 192;     // inline records follow
constexpr std::size_t inline_capacity(std::size_t block_bytes) { return block_bytes - slot_header_bytes; }
static_assert(inline_capacity(512) >= record_bytes_max);

// `records` are already encoded (encode() of record.hpp, back to back); they fit inline_capacity(out.size()).
// out.size() is the block size; all of it is written. `records` may lie in `out` at slot_header_bytes already.
// Asserts what decode checks: tail <= head, inline_first <= last + 1, an incarnation unless `free`.
void encode_slot(const SlotHeader& header, std::uint32_t record_count, std::span<const std::byte> records,
                 const Uuid& volume, std::uint64_t offset, std::span<std::byte> out);

// Header only; the whole block's checksum, magic, volume, own offset, node, reserved bytes are checked. Error order:
// bad_magic, bad_checksum, bad_version, wrong_volume, wrong_block, wrong_node, bad_field.
Result<SlotHeader> decode_slot_header(std::span<const std::byte> block, const Uuid& volume, NodeIndex node,
                                      std::uint64_t offset);
// The inline records of a block whose header has been decoded. Appends to `out`.
Result<void> decode_slot_records(std::span<const std::byte> block, std::uint64_t offset, std::vector<Record>& out);

// The volume that a block's slot says it belongs to: for mkfs, which must find living nodes without a superblock.
// bad_magic, bad_checksum or bad_version when it is no slot.
Result<Uuid> slot_volume(std::span<const std::byte> block, std::uint64_t offset);

}  // namespace sdlm::disk
