// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/mkfs/live_nodes.hpp"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "disk/format/page.hpp"
#include "disk/format/slot.hpp"
#include "heartbeat/timing.hpp"

namespace sdlm::tools::mkfs {

namespace {

using disk::SlotState;

struct Suspect {
    NodeIndex node = no_node;
    std::uint64_t offset = 0;
    std::vector<std::byte> block;
    std::string state;                 // "live" or "damaged"
};

bool may_live(SlotState state) {
    return state == SlotState::claiming || state == SlotState::live || state == SlotState::leaving;
}

bool all_zero(const std::vector<std::byte>& bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

std::string slot_text(NodeIndex node, std::uint64_t offset) {
    char where[40];
    std::snprintf(where, sizeof where, " (offset 0x%llx)", static_cast<unsigned long long>(offset));
    return "slot " + std::to_string(node) + where;
}

// Whole pages, because a device may have larger blocks than the volume that was once made on it.
Result<std::vector<std::byte>> read_block(const disk::BlockDevice& device, std::uint64_t offset, std::size_t bytes) {
    const std::uint64_t page_at = offset / limits::page_bytes * limits::page_bytes;
    std::vector<std::byte> page(limits::page_bytes);
    if (const auto read = device.read(page_at, page); !read) return read.error();
    const auto from = page.begin() + static_cast<std::ptrdiff_t>(offset - page_at);
    return std::vector<std::byte>(from, from + static_cast<std::ptrdiff_t>(bytes));
}

// The slots of a known volume; a damaged one may be a living node's, so it is watched too.
std::string find_in_volume(const disk::BlockDevice& device, const disk::Superblock& superblock,
                           std::vector<Suspect>& suspects) {
    const disk::Geometry& geometry = superblock.geometry;
    for (NodeIndex node = 0; node < geometry.slot_count; ++node) {
        const std::uint64_t offset = geometry.slot_offset(node);
        if (offset + geometry.block_bytes > device.bytes()) break;
        auto block = read_block(device, offset, geometry.block_bytes);
        if (!block)
            return slot_text(node, offset) + " of the old volume cannot be read, so its node may live: " +
                   describe(block.error());
        const auto header = disk::decode_slot_header(*block, superblock.uuid, node, offset);
        if (header && !may_live(header->state)) continue;
        if (!header && all_zero(*block)) continue;
        suspects.push_back({node, offset, std::move(*block), header ? text(header->state) : "damaged"});
    }
    return {};
}

// No superblock is left: slots are recognised by their own magic, checksum and place.
std::string find_anywhere(const disk::BlockDevice& device, std::vector<Suspect>& suspects) {
    for (const std::size_t block_bytes : {limits::block_bytes_min, limits::block_bytes_max})
        for (NodeIndex node = 0; node < limits::slots_max; ++node) {
            const std::uint64_t offset = disk::slots_offset + node * block_bytes;
            if (offset / limits::page_bytes * limits::page_bytes + limits::page_bytes > device.bytes()) break;
            auto block = read_block(device, offset, block_bytes);
            if (!block) return slot_text(node, offset) + " cannot be read: " + describe(block.error());
            const auto volume = disk::slot_volume(*block, offset);
            if (!volume) continue;
            const auto header = disk::decode_slot_header(*block, *volume, node, offset);
            if (header && may_live(header->state))
                suspects.push_back({node, offset, std::move(*block), text(header->state)});
        }
    return {};
}

std::string who(const disk::BlockDevice& device, const VolumeTraces& traces, NodeIndex node) {
    std::string out = "node " + std::to_string(node);
    if (!traces.superblock) return out;
    const std::uint64_t offset = traces.superblock->geometry.card_offset(node);
    const auto page = read_block(device, offset, limits::page_bytes);
    if (!page) return out;
    const auto card = disk::decode_card(*page, traces.superblock->uuid, node, offset);
    if (!card) return out;
    return out + " (\"" + card->node_name + "\" on host \"" + card->host_name + "\")";
}

heartbeat::Timing timing_of(const VolumeTraces& traces) {
    if (!traces.superblock) return heartbeat::default_timing;
    const auto timing = heartbeat::make_timing(traces.superblock->heartbeat_ms, traces.superblock->lease_ms,
                                               traces.superblock->io_timeout_ms);
    return timing ? *timing : heartbeat::default_timing;
}

// A sentence when one of the suspects' slots has changed.
std::string changed_problem(const disk::BlockDevice& device, const VolumeTraces& traces,
                            const std::vector<Suspect>& suspects, Duration watched) {
    for (const Suspect& suspect : suspects) {
        const auto block = read_block(device, suspect.offset, suspect.block.size());
        const std::string where = slot_text(suspect.node, suspect.offset);
        if (!block) return where + " cannot be read any more: " + describe(block.error());
        if (*block == suspect.block) continue;
        return who(device, traces, suspect.node) + " is alive: its heartbeat in " + where + " changed within " +
               std::to_string(watched.ms()) +
               " ms; stop sdlmd there and on every other node first (a volume with living nodes is never formatted, "
               "not even with --force)";
    }
    return {};
}

}  // namespace

std::string live_node_problem(const disk::BlockDevice& device, const VolumeTraces& traces, std::ostream& out,
                              const Environment& environment) {
    std::vector<Suspect> suspects;
    const Instant start = environment.now();
    const std::string unreadable = traces.superblock ? find_in_volume(device, *traces.superblock, suspects)
                                                     : find_anywhere(device, suspects);
    if (!unreadable.empty()) return unreadable;
    if (suspects.empty()) return {};

    const Instant first_read = environment.now();
    const auto timing = timing_of(traces);
    for (const Suspect& suspect : suspects)
        out << device.path() << ": " << who(device, traces, suspect.node) << " may be alive ("
            << slot_text(suspect.node, suspect.offset) << " is " << suspect.state << ")\n";
    out << device.path() << ": watching for a heartbeat for " << timing.dead().ms()
        << " ms, to be sure that nobody uses the volume ...\n"
        << std::flush;
    for (;;) {
        const Duration left = timing.dead() - (environment.now() - first_read);
        if (left.ns > 0) environment.sleep(std::min(left, timing.heartbeat));
        const bool last = environment.now() - first_read >= timing.dead();
        const std::string problem = changed_problem(device, traces, suspects, environment.now() - start);
        if (!problem.empty() || last) return problem;
    }
}

}  // namespace sdlm::tools::mkfs
