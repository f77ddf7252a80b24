// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/dump_volume.hpp"

#include <algorithm>
#include <cstdio>
#include <span>

#include "disk/base/limits.hpp"

namespace sdlm::tools {

namespace {

using disk::BlockDevice;
using disk::Geometry;
using disk::Superblock;
using Bytes = std::vector<std::byte>;

// A volume in use moves on while it is read; a reader that finds a page overwritten starts again from the slot.
constexpr int attempts_max = 8;

// Whole pages, because a copy of a volume may lie on a device with larger blocks.
Result<Bytes> read_block(const BlockDevice& device, std::uint64_t offset, std::size_t bytes) {
    const std::uint64_t page_at = offset / limits::page_bytes * limits::page_bytes;
    Bytes page(limits::page_bytes);
    if (const auto read = device.read(page_at, page); !read) return read.error();
    const auto from = page.begin() + static_cast<std::ptrdiff_t>(offset - page_at);
    return Bytes(from, from + static_cast<std::ptrdiff_t>(bytes));
}

bool all_zero(const Bytes& bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

// The newest record of a key wins; one that says "gone" removes it.
struct Apply {
    SlotDump& slot;
    void operator()(const disk::LockEntry& entry) const {
        if (entry.lock.gone()) slot.locks.erase(entry.key);
        else slot.locks.insert_or_assign(entry.key, entry.lock);
    }
    void operator()(const disk::EvictEntry& entry) const {
        if (entry.evict.retracted) slot.evictions.erase(entry.node);
        else slot.evictions.insert_or_assign(entry.node, entry.evict);
    }
    void operator()(const disk::FenceEntry& entry) const {
        if (entry.fence.retracted) slot.fences.erase(entry.node);
        else slot.fences.insert_or_assign(entry.node, entry.fence);
    }
    void operator()(const disk::MemberEntry& entry) const {
        if (entry.member.left) slot.lockspaces.erase(entry.lockspace);
        else slot.lockspaces.insert(entry.lockspace);
    }
};

void apply_all(SlotDump& slot, const std::vector<disk::Record>& records) {
    for (const disk::Record& record : records) std::visit(Apply{slot}, record);
}

// True when every page of the stream could be read.
bool replay_pages(const BlockDevice& device, const Superblock& superblock, SlotDump& slot) {
    const disk::SlotHeader& header = *slot.header;
    const disk::StreamPosition& stream = header.stream;
    const Geometry& geometry = superblock.geometry;
    if (stream.head - stream.tail > geometry.ring_pages()) {
        slot.problems.push_back(place_text("slot", slot.node, slot.offset) +
                                ": value out of range in field slot.tail: " +
                                std::to_string(stream.head - stream.tail) + " journal pages, the ring has " +
                                std::to_string(geometry.ring_pages()));
        return false;
    }
    bool whole = true;
    for (std::uint64_t number = stream.tail; number < stream.head; ++number) {
        const std::uint64_t offset = geometry.page_offset(slot.node, number);
        const auto page = read_block(device, offset, limits::page_bytes);
        std::vector<disk::Record> records;
        const auto decoded = page ? disk::decode_page(*page, superblock.uuid, {slot.node, header.incarnation, number},
                                                      offset, records)
                                  : Result<void>(page.error());
        if (!decoded) {
            whole = false;
            slot.problems.push_back(place_text("journal page", number, offset) + ": " + describe(decoded.error()) +
                                    "; records may be missing or too old");
        }
        apply_all(slot, records);
    }
    return whole;
}

// True when the slot's state is whole.
bool replay(const BlockDevice& device, const Superblock& superblock, const Bytes& block, SlotDump& slot) {
    std::vector<disk::Record> inline_records;
    const auto decoded = disk::decode_slot_records(block, slot.offset, inline_records);
    const bool pages_whole = slot.header->stream.complete || replay_pages(device, superblock, slot);
    apply_all(slot, inline_records);
    if (!decoded)
        slot.problems.push_back(place_text("slot", slot.node, slot.offset) + ": " + describe(decoded.error()) +
                                "; its records are not shown");
    return pages_whole && decoded;
}

void read_card(const BlockDevice& device, const Superblock& superblock, SlotDump& slot) {
    const std::uint64_t offset = superblock.geometry.card_offset(slot.node);
    const auto page = read_block(device, offset, limits::page_bytes);
    if (page && all_zero(*page)) return;
    const auto card = page ? disk::decode_card(*page, superblock.uuid, slot.node, offset)
                           : Result<disk::NodeCard>(page.error());
    if (card) slot.card = *card;
    else slot.problems.push_back(place_text("node card", slot.node, offset) + ": " + describe(card.error()));
}

SlotDump read_slot_once(const BlockDevice& device, const Superblock& superblock, NodeIndex node, bool& whole) {
    SlotDump slot;
    slot.node = node;
    slot.offset = superblock.geometry.slot_offset(node);
    whole = true;
    const auto block = read_block(device, slot.offset, superblock.geometry.block_bytes);
    const auto header = block ? disk::decode_slot_header(*block, superblock.uuid, node, slot.offset)
                              : Result<disk::SlotHeader>(block.error());
    if (header) {
        slot.header = *header;
        whole = replay(device, superblock, *block, slot);
    } else {
        slot.problems.push_back(place_text("slot", node, slot.offset) + ": " + describe(header.error()) +
                                "; without it the journal cannot be replayed");
    }
    read_card(device, superblock, slot);
    return slot;
}

// The copies as they are, when the checks of load_superblock() fail: a truncated image is still worth a look.
std::optional<VolumeDump> read_any_copy(const BlockDevice& device, const std::string& message) {
    const std::uint64_t backup = device.bytes() / limits::page_bytes * limits::page_bytes - limits::page_bytes;
    for (const std::uint64_t offset : {disk::superblock_offset, backup}) {
        const auto page = read_block(device, offset, limits::page_bytes);
        if (!page) continue;
        const auto superblock = disk::decode_superblock(*page, offset);
        if (superblock) return VolumeDump{*superblock, offset == backup, message};
    }
    return std::nullopt;
}

}  // namespace

std::string place_text(const char* what, std::uint64_t number, std::uint64_t offset) {
    char where[40];
    std::snprintf(where, sizeof where, " (offset 0x%llx)", static_cast<unsigned long long>(offset));
    return std::string(what) + ' ' + std::to_string(number) + where;
}

bool SlotDump::never_used() const {
    return header && header->state == disk::SlotState::free && header->incarnation.none() && problems.empty() && !card;
}

std::optional<VolumeDump> read_volume(const BlockDevice& device, std::string& message) {
    const auto loaded = load_superblock(device, message);
    if (loaded) return VolumeDump{loaded->superblock, loaded->from_backup, loaded->warning};
    if (device.bytes() < 2 * limits::page_bytes) return std::nullopt;
    return read_any_copy(device, message);
}

SlotDump read_slot(const BlockDevice& device, const Superblock& superblock, NodeIndex node) {
    bool whole = false;
    SlotDump slot = read_slot_once(device, superblock, node, whole);
    for (int attempt = 1; !whole && slot.header && attempt < attempts_max; ++attempt) {
        const std::uint64_t sequence = slot.header->sequence;
        SlotDump again = read_slot_once(device, superblock, node, whole);
        const bool moved = again.header && again.header->sequence != sequence;
        slot = std::move(again);
        if (!moved) break;
    }
    return slot;
}

void read_pages(const BlockDevice& device, const Superblock& superblock, const SlotDump& slot,
                const std::function<void(const PageDump&)>& visit) {
    const Geometry& geometry = superblock.geometry;
    for (std::uint64_t place = 0; place < geometry.ring_pages(); ++place) {
        PageDump page;
        page.place = place;
        page.offset = geometry.page_offset(slot.node, place);
        const auto bytes = read_block(device, page.offset, limits::page_bytes);
        const auto header = bytes ? disk::decode_any_page(*bytes, superblock.uuid, page.offset, page.records)
                                  : Result<disk::PageHeader>(bytes.error());
        if (header) {
            page.header = *header;
            page.current = slot.header && header->node == slot.node &&
                           header->incarnation == slot.header->incarnation &&
                           header->number >= slot.header->stream.tail && header->number < slot.header->stream.head;
        } else if (header.error().code == Errc::bad_magic || header.error().code == Errc::wrong_volume) {
            continue;
        } else {
            page.problem = describe(header.error());
        }
        visit(page);
    }
}

}  // namespace sdlm::tools
