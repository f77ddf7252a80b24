// SPDX-License-Identifier: LGPL-2.1-or-later
// The bytes on the disk, and nothing else: what each field means is said in disk/FORMAT.md, whose tables a test
// compares with these structs. Only the codecs of this folder (and tests) may include this header.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "disk/base/limits.hpp"
#include "disk/format/le.hpp"
#include "disk/format/page.hpp"
#include "disk/format/record.hpp"
#include "disk/format/slot.hpp"
#include "disk/format/superblock.hpp"

namespace sdlm::disk::layout {

using Byte = std::uint8_t;
template <std::size_t N>
using Bytes = std::array<std::uint8_t, N>;

inline constexpr std::uint32_t superblock_magic = 0x4d4c4453;   // "SDLM"
inline constexpr std::uint32_t slot_magic = 0x4c534453;         // "SDSL"
inline constexpr std::uint32_t page_magic = 0x47504453;         // "SDPG"
inline constexpr std::uint32_t card_magic = 0x44434453;         // "SDCD"

// Every block starts with it: enough to tell rot, a torn or misdirected write, and another volume's or node's block.
struct BlockHead {
    /*0x000*/ Le32 crc;                  // crc32c of everything behind it
    /*0x004*/ Le32 magic;
    /*0x008*/ Le16 version;
    /*0x00a*/ Le16 node;                 // the owner; 0xffff in a superblock
    /*0x00c*/ Le32 reserved;
    /*0x010*/ Le64 offset;               // of this block on the device, in bytes
    /*0x018*/ Bytes<16> volume;
};
static_assert(DiskRecord<BlockHead> && sizeof(BlockHead) == 0x028);
static_assert(offsetof(BlockHead, crc) == 0x000);
static_assert(offsetof(BlockHead, magic) == 0x004);
static_assert(offsetof(BlockHead, version) == 0x008);
static_assert(offsetof(BlockHead, node) == 0x00a);
static_assert(offsetof(BlockHead, reserved) == 0x00c);
static_assert(offsetof(BlockHead, offset) == 0x010);
static_assert(offsetof(BlockHead, volume) == 0x018);

struct Superblock {                      // owner: mkfs, nobody else
    /*0x000*/ BlockHead head;
    /*0x028*/ Le32 compat;
    /*0x02c*/ Le32 ro_compat;
    /*0x030*/ Le32 incompat;
    /*0x034*/ Le32 block_bytes;
    /*0x038*/ Le32 slot_count;
    /*0x03c*/ Le32 heartbeat_ms;
    /*0x040*/ Le64 area_bytes;
    /*0x048*/ Le64 volume_bytes;
    /*0x050*/ Le32 lease_ms;
    /*0x054*/ Le32 io_timeout_ms;
    /*0x058*/ Le64 created_unix;
    /*0x060*/ Bytes<limits::label_bytes> label;
    /*0x080*/ Bytes<384> reserved;
};
static_assert(DiskRecord<Superblock> && sizeof(Superblock) == superblock_bytes);
static_assert(offsetof(Superblock, head) == 0x000);
static_assert(offsetof(Superblock, compat) == 0x028);
static_assert(offsetof(Superblock, ro_compat) == 0x02c);
static_assert(offsetof(Superblock, incompat) == 0x030);
static_assert(offsetof(Superblock, block_bytes) == 0x034);
static_assert(offsetof(Superblock, slot_count) == 0x038);
static_assert(offsetof(Superblock, heartbeat_ms) == 0x03c);
static_assert(offsetof(Superblock, area_bytes) == 0x040);
static_assert(offsetof(Superblock, volume_bytes) == 0x048);
static_assert(offsetof(Superblock, lease_ms) == 0x050);
static_assert(offsetof(Superblock, io_timeout_ms) == 0x054);
static_assert(offsetof(Superblock, created_unix) == 0x058);
static_assert(offsetof(Superblock, label) == 0x060);
static_assert(offsetof(Superblock, reserved) == 0x080);

inline constexpr std::uint16_t slot_complete = 0x0001;
inline constexpr std::uint16_t slot_unsettled = 0x0002;
inline constexpr std::uint16_t slot_flags_known = slot_complete | slot_unsettled;

struct SlotHeader {                      // owner: the node that has claimed the slot (and a claimer, while it claims)
    /*0x000*/ BlockHead head;
    /*0x028*/ Le64 generation;
    /*0x030*/ Le64 nonce;
    /*0x038*/ Le64 sequence;
    /*0x040*/ Bytes<16> host;
    /*0x050*/ Le64 boot;
    /*0x058*/ Le64 previous_generation;
    /*0x060*/ Le64 previous_nonce;
    /*0x068*/ Le64 previous_sequence;
    /*0x070*/ Le64 tail;
    /*0x078*/ Le64 head_page;
    /*0x080*/ Le64 inline_first;
    /*0x088*/ Le64 last;
    /*0x090*/ Le32 epoch;
    /*0x094*/ Le32 record_count;
    /*0x098*/ Le32 record_bytes;
    /*0x09c*/ Byte state;
    /*0x09d*/ Byte previous_end;
    /*0x09e*/ Le16 flags;
    /*0x0a0*/ Le32 write_us;
    /*0x0a4*/ Le32 read_us;
    /*0x0a8*/ Le64 clock;
    /*0x0b0*/ Bytes<16> reserved;
};
static_assert(DiskRecord<SlotHeader> && sizeof(SlotHeader) == slot_header_bytes);
static_assert(offsetof(SlotHeader, head) == 0x000);
static_assert(offsetof(SlotHeader, generation) == 0x028);
static_assert(offsetof(SlotHeader, nonce) == 0x030);
static_assert(offsetof(SlotHeader, sequence) == 0x038);
static_assert(offsetof(SlotHeader, host) == 0x040);
static_assert(offsetof(SlotHeader, boot) == 0x050);
static_assert(offsetof(SlotHeader, previous_generation) == 0x058);
static_assert(offsetof(SlotHeader, previous_nonce) == 0x060);
static_assert(offsetof(SlotHeader, previous_sequence) == 0x068);
static_assert(offsetof(SlotHeader, tail) == 0x070);
static_assert(offsetof(SlotHeader, head_page) == 0x078);
static_assert(offsetof(SlotHeader, inline_first) == 0x080);
static_assert(offsetof(SlotHeader, last) == 0x088);
static_assert(offsetof(SlotHeader, epoch) == 0x090);
static_assert(offsetof(SlotHeader, record_count) == 0x094);
static_assert(offsetof(SlotHeader, record_bytes) == 0x098);
static_assert(offsetof(SlotHeader, state) == 0x09c);
static_assert(offsetof(SlotHeader, previous_end) == 0x09d);
static_assert(offsetof(SlotHeader, flags) == 0x09e);
static_assert(offsetof(SlotHeader, write_us) == 0x0a0);
static_assert(offsetof(SlotHeader, read_us) == 0x0a4);
static_assert(offsetof(SlotHeader, clock) == 0x0a8);
static_assert(offsetof(SlotHeader, reserved) == 0x0b0);

struct PageHeader {                      // owner: the node of the area
    /*0x000*/ BlockHead head;
    /*0x028*/ Le64 generation;
    /*0x030*/ Le64 nonce;
    /*0x038*/ Le64 number;
    /*0x040*/ Le32 record_count;
    /*0x044*/ Le32 record_bytes;
    /*0x048*/ Bytes<24> reserved;
};
static_assert(DiskRecord<PageHeader> && sizeof(PageHeader) == page_header_bytes);
static_assert(offsetof(PageHeader, head) == 0x000);
static_assert(offsetof(PageHeader, generation) == 0x028);
static_assert(offsetof(PageHeader, nonce) == 0x030);
static_assert(offsetof(PageHeader, number) == 0x038);
static_assert(offsetof(PageHeader, record_count) == 0x040);
static_assert(offsetof(PageHeader, record_bytes) == 0x044);
static_assert(offsetof(PageHeader, reserved) == 0x048);

inline constexpr std::size_t card_version_bytes = 32;

struct NodeCard {                        // owner: the node of the area
    /*0x000*/ BlockHead head;
    /*0x028*/ Le64 generation;
    /*0x030*/ Le64 nonce;
    /*0x038*/ Bytes<16> host;
    /*0x048*/ Le64 started_unix;
    /*0x050*/ Bytes<limits::node_name_bytes> node_name;
    /*0x090*/ Bytes<limits::node_name_bytes> host_name;
    /*0x0d0*/ Bytes<card_version_bytes> daemon_version;
    /*0x0f0*/ Le32 pid;
    /*0x0f4*/ Bytes<3852> reserved;
};
static_assert(DiskRecord<NodeCard> && sizeof(NodeCard) == limits::page_bytes);
static_assert(offsetof(NodeCard, head) == 0x000);
static_assert(offsetof(NodeCard, generation) == 0x028);
static_assert(offsetof(NodeCard, nonce) == 0x030);
static_assert(offsetof(NodeCard, host) == 0x038);
static_assert(offsetof(NodeCard, started_unix) == 0x048);
static_assert(offsetof(NodeCard, node_name) == 0x050);
static_assert(offsetof(NodeCard, host_name) == 0x090);
static_assert(offsetof(NodeCard, daemon_version) == 0x0d0);
static_assert(offsetof(NodeCard, pid) == 0x0f0);
static_assert(offsetof(NodeCard, reserved) == 0x0f4);

enum class RecordKind : std::uint8_t { lock = 1, evict = 2, fence = 3, member = 4 };

// Flags of a lock record.
inline constexpr std::uint16_t lock_noqueue = 0x0001;
inline constexpr std::uint16_t lock_convert = 0x0002;
inline constexpr std::uint16_t lock_noqueue_bast = 0x0004;
inline constexpr std::uint16_t lock_interest = 0x0008;
inline constexpr std::uint16_t lock_orphan_lvb = 0x0010;
inline constexpr std::uint16_t lock_lvb_valid = 0x0020;
inline constexpr std::uint16_t lock_has_answered = 0x0040;
inline constexpr std::uint16_t lock_has_tag = 0x0080;
inline constexpr std::uint16_t lock_has_lvb = 0x0100;
inline constexpr std::uint16_t lock_waits_shift = 9;          // 3 bits: number of tags in `waits_for`
inline constexpr std::uint16_t lock_waits_mask = 0x0e00;
inline constexpr std::uint16_t lock_spared = 0x1000;
inline constexpr std::uint16_t lock_flags_known = 0x1fff;
// Flags of the other kinds: retracted (evict, fence) or left (member); settled (evict only).
inline constexpr std::uint16_t fact_removed = 0x0001;
inline constexpr std::uint16_t fact_settled = 0x0002;

struct RecordHead {
    /*0x000*/ Byte kind;
    /*0x001*/ Byte length8;              // of the whole record, in units of 8 bytes
    /*0x002*/ Le16 flags;
    /*0x004*/ Byte modes;                // held | want << 4; lock records only
    /*0x005*/ Byte phase;                // lock records only
    /*0x006*/ Byte lockspace_bytes;      // lock and member records
    /*0x007*/ Byte name_bytes;           // lock records only
    /*0x008*/ Le64 subject;              // lock: ticket; evict and fence: node; member: zero
};
static_assert(DiskRecord<RecordHead> && sizeof(RecordHead) == 0x010);
static_assert(offsetof(RecordHead, kind) == 0x000);
static_assert(offsetof(RecordHead, length8) == 0x001);
static_assert(offsetof(RecordHead, flags) == 0x002);
static_assert(offsetof(RecordHead, modes) == 0x004);
static_assert(offsetof(RecordHead, phase) == 0x005);
static_assert(offsetof(RecordHead, lockspace_bytes) == 0x006);
static_assert(offsetof(RecordHead, name_bytes) == 0x007);
static_assert(offsetof(RecordHead, subject) == 0x008);

struct LvbHead {
    /*0x000*/ Le64 version;
    /*0x008*/ Byte length;
    /*0x009*/ Bytes<7> reserved;
};
static_assert(DiskRecord<LvbHead> && sizeof(LvbHead) == 0x010);
static_assert(offsetof(LvbHead, version) == 0x000);
static_assert(offsetof(LvbHead, length) == 0x008);
static_assert(offsetof(LvbHead, reserved) == 0x009);

struct EvictBody {                       // a fence record ends before last_sequence
    /*0x000*/ Le64 generation;
    /*0x008*/ Le64 nonce;
    /*0x010*/ Le64 last_sequence;
};
static_assert(DiskRecord<EvictBody> && sizeof(EvictBody) == 0x018);
static_assert(offsetof(EvictBody, generation) == 0x000);
static_assert(offsetof(EvictBody, nonce) == 0x008);
static_assert(offsetof(EvictBody, last_sequence) == 0x010);
inline constexpr std::size_t fence_body_bytes = offsetof(EvictBody, last_sequence);

constexpr std::size_t padded(std::size_t bytes) { return (bytes + 7) & ~std::size_t{7}; }
inline constexpr std::size_t lock_record_bytes_max =
    sizeof(RecordHead) + 8 + 8 + 8 * waits_for_max + sizeof(LvbHead) + padded(limits::lvb_bytes_max) +
    padded(limits::lockspace_name_max + limits::resource_name_max);
static_assert(lock_record_bytes_max <= record_bytes_max && record_bytes_max / 8 <= 0xff);

}  // namespace sdlm::disk::layout
