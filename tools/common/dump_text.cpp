// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/dump_text.hpp"

#include <time.h>

#include <cstdio>
#include <span>

#include "locks/core/mode.hpp"
#include "tools/common/dump_json.hpp"
#include "tools/common/escape.hpp"
#include "tools/common/table.hpp"

namespace sdlm::tools {

namespace {

std::string hex_number(std::uint64_t number) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(number));
    return text;
}

std::string date_text(std::uint64_t unix_seconds) {
    const auto seconds = static_cast<time_t>(unix_seconds);
    tm parts{};
    char text[40];
    if (unix_seconds > INT64_MAX || gmtime_r(&seconds, &parts) == nullptr ||
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts) == 0)
        return std::to_string(unix_seconds) + " s since 1970";
    return text;
}

std::string life_text(const Incarnation& incarnation) {
    return "generation " + std::to_string(incarnation.generation) + ", nonce " + hex_number(incarnation.nonce);
}

std::string lvb_text(const disk::Lvb& lvb) {
    if (lvb.version == 0) return "-";
    return "v" + std::to_string(lvb.version) + (lvb.valid ? " " : " NOT VALID ") +
           hex(std::span(lvb.bytes).first(lvb.length));
}

std::string flags_text(const disk::LockRecord& lock) {
    std::string out;
    for (const std::string& name : flag_names(lock)) out += (out.empty() ? "" : ",") + name;
    return out.empty() ? "-" : out;
}

std::string number_or_dash(std::uint64_t number) { return number == 0 ? "-" : std::to_string(number); }

std::vector<std::string> lock_cells(const disk::ResourceKey& key, const disk::LockRecord& lock) {
    const bool wants = lock.phase != disk::Phase::none;
    return {escaped(key.lockspace),
            escaped(key.name),
            locks::text(lock.held),
            wants ? locks::text(lock.want) : "-",
            wants ? phase_text(lock.phase) : "-",
            number_or_dash(lock.ticket),
            number_or_dash(lock.answered),
            flags_text(lock),
            lvb_text(lock.lvb)};
}

struct RecordText {
    std::string operator()(const disk::LockEntry& entry) const {
        std::string out = "lock";
        for (const std::string& cell : lock_cells(entry.key, entry.lock)) out += "  " + cell;
        return out;
    }
    std::string operator()(const disk::EvictEntry& entry) const {
        return "evict  node " + std::to_string(entry.node) + ", " + life_text(entry.evict.incarnation) +
               ", last sequence " + std::to_string(entry.evict.last_sequence) +
               (entry.evict.settled ? ", settled" : "") + (entry.evict.retracted ? " (retracted)" : "");
    }
    std::string operator()(const disk::FenceEntry& entry) const {
        return "fence  node " + std::to_string(entry.node) + ", " + life_text(entry.fence.incarnation) +
               (entry.fence.retracted ? " (retracted)" : "");
    }
    std::string operator()(const disk::MemberEntry& entry) const {
        return "member  " + escaped(entry.lockspace) + (entry.member.left ? " (left)" : "");
    }
};

void print_header(std::ostream& out, const disk::SlotHeader& header) {
    const disk::StreamPosition& stream = header.stream;
    out << "  life         " << life_text(header.incarnation) << ", sequence " << header.sequence << '\n'
        << "  host         " << to_string(header.host) << ", boot " << hex_number(header.boot) << '\n';
    if (!header.previous.none())
        out << "  life before  " << life_text(header.previous) << ", ended: " << end_text(header.previous_end)
            << ", last sequence " << header.previous_sequence << '\n';
    out << "  value clock  " << header.clock << "\n  last I/O     write " << duration_text(header.write_us) << ", read "
        << duration_text(header.read_us) << "\n  stream       epoch " << stream.epoch << ", newest record "
        << stream.last;
    if (stream.complete) out << ", all in the slot\n";
    else if (stream.tail == stream.head) out << ", in the slot from " << stream.inline_first << ", no journal page\n";
    else out << ", in the slot from " << stream.inline_first << ", journal pages " << stream.tail << " to "
             << stream.head - 1 << '\n';
}

}  // namespace

void print_volume(std::ostream& out, const disk::BlockDevice& device, const VolumeDump& volume) {
    const disk::Superblock& superblock = volume.superblock;
    const disk::Geometry& geometry = superblock.geometry;
    out << "device      " << escaped(device.path()) << ", " << device.bytes() << " bytes\n"
        << "volume      " << to_string(superblock.uuid) << ", label \"" << escaped(superblock.label) << "\", "
        << geometry.volume_bytes << " bytes, made " << date_text(superblock.created_unix) << '\n'
        << "superblock  " << (volume.from_backup ? "BACKUP" : "good") << '\n';
    if (!volume.warning.empty()) out << "WARNING     " << escaped(volume.warning) << '\n';
    out << "geometry    blocks of " << geometry.block_bytes << " bytes, " << geometry.slot_count << " slots, "
        << geometry.ring_pages() << " journal pages per node\n"
        << "timing      heartbeat " << superblock.heartbeat_ms << " ms, lease " << superblock.lease_ms
        << " ms, I/O time-out " << superblock.io_timeout_ms << " ms\n";
}

void print_slot(std::ostream& out, const SlotDump& slot) {
    out << '\n' << place_text("slot", slot.node, slot.offset) << ": "
        << (slot.header ? disk::text(slot.header->state) : "DAMAGED") << '\n';
    for (const std::string& problem : slot.problems) out << "  PROBLEM      " << escaped(problem) << '\n';
    if (slot.card)
        out << "  node         \"" << escaped(slot.card->node_name) << "\" on host \"" << escaped(slot.card->host_name)
            << "\", sdlm " << escaped(slot.card->version) << ", pid " << slot.card->pid << ", started "
            << date_text(slot.card->started_unix) << " (" << life_text(slot.card->incarnation) << ")\n";
    if (slot.header && !slot.header->incarnation.none()) print_header(out, *slot.header);
    for (const std::string& lockspace : slot.lockspaces) out << "  member of    " << escaped(lockspace) << '\n';
    for (const auto& [node, evict] : slot.evictions)
        out << "  has evicted  node " << node << ", " << life_text(evict.incarnation) << ", last sequence "
            << evict.last_sequence << (evict.settled ? ", settled" : "") << '\n';
    for (const auto& [node, fence] : slot.fences)
        out << "  fences       node " << node << ", " << life_text(fence.incarnation) << '\n';
    if (slot.locks.empty()) return;
    Table table({"LOCKSPACE", "NAME", "HELD", "WANT", "PHASE", "TICKET", "ANSWERED", "FLAGS", "LVB"});
    for (const auto& [key, lock] : slot.locks) table.add(lock_cells(key, lock));
    table.print(out);
}

void print_page(std::ostream& out, const PageDump& page) {
    out << place_text("journal page at place", page.place, page.offset) << ": ";
    if (!page.header) {
        out << page.problem << '\n';
        return;
    }
    out << "number " << page.header->number << " of node " << page.header->node << ", "
        << life_text(page.header->incarnation) << (page.current ? ", current, " : ", not needed any more, ")
        << page.records.size() << " records\n";
    for (const disk::Record& record : page.records) out << "  " << std::visit(RecordText{}, record) << '\n';
}

void print_free_slots(std::ostream& out, NodeIndex first, NodeIndex last) {
    out << '\n';
    if (first == last) out << "slot " << first << ": never used\n";
    else out << "slots " << first << " to " << last << ": never used\n";
}

}  // namespace sdlm::tools
