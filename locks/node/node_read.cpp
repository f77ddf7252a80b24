// SPDX-License-Identifier: LGPL-2.1-or-later
// Reading: all slots in one read; journal pages where a replica has a gap; how far everybody is known (I4).
#include <algorithm>

#include "disk/base/assert.hpp"
#include "disk/base/crc32c.hpp"
#include "locks/node/node_impl.hpp"

namespace sdlm::node {

namespace {
constexpr std::uint64_t fetch_pages_max = 64;              // per read
constexpr Duration poll_min = milliseconds(1);             // while this node waits for others
constexpr Duration poll_long = milliseconds(5);            // ... when it has been waiting for long
constexpr Duration poll_contended = milliseconds(10);      // holding something that others wanted lately
constexpr Duration poll_holding = milliseconds(50);        // holding something
constexpr Duration contended_for = milliseconds(2000);
}  // namespace

Duration NodeCore::Impl::poll_interval() const {
    const Duration floor = std::max(poll_min, read_latency * 2);
    if (locks.waiting(writes_done)) {
        const Duration waited = waiting_since == never ? Duration{} : now - waiting_since;
        return std::min(timing.heartbeat, std::max(floor, std::min(waited / 50, poll_long)));
    }
    if (locks.holding() && peers_alive() > 0) {
        const bool contended = now - locks.last_conflict() < contended_for;
        return std::min(timing.heartbeat, std::max(floor, contended ? poll_contended : poll_holding));
    }
    return timing.heartbeat;
}

Instant NodeCore::Impl::next_read() const {
    if (slots_read.active || ended() || !started) return never;
    Instant due = earlier(member.read_due(last_read), read_again);
    if (read_failing) return read_again;
    if (live()) {
        if (locks.waits_for_read(writes_done, slots_read.view)) return Instant{};
        due = earlier(due, last_read + poll_interval());
    }
    return due;
}

void NodeCore::Impl::read_if_due(Output& out) {
    fetch(out);
    if (!locks.waiting(writes_done)) waiting_since = never;
    else if (waiting_since == never) waiting_since = now;
    if (next_read() > now) return;
    if (std::exchange(volume_check.wanted, false) && !volume_check.active) {
        volume_check.active = true;
        volume_check.id = next_id++;
        out.reads.push_back({volume_check.id, disk::superblock_offset, superblock.geometry.block_bytes});
    }
    slots_read = {true, next_id++, now, writes_done, member.written_sequence()};
    read_again = never;
    out.reads.push_back(
        {slots_read.id, disk::slots_offset, static_cast<std::uint32_t>(superblock.geometry.slots_bytes())});
    ++counters.slot_reads;
}

void NodeCore::Impl::fetch(Output& out) {
    if (ended()) return;
    for (NodeIndex node = 0; node < fetches.size(); ++node) {
        Fetch& f = fetches[node];
        if (f.active || f.next == f.end) continue;
        const std::uint64_t ring = superblock.geometry.ring_pages();
        const std::uint64_t to_wrap = ring - f.next % ring;
        f.count = static_cast<std::uint32_t>(std::min({f.end - f.next, to_wrap, fetch_pages_max}));
        f.active = true;
        f.id = next_id++;
        out.reads.push_back({f.id, superblock.geometry.page_offset(node, f.next),
                             static_cast<std::uint32_t>(f.count * limits::page_bytes)});
        ++counters.page_reads;
    }
}

void NodeCore::Impl::read_done(Instant at, IoId id, Result<std::span<const std::byte>> result) {
    now = at;
    if (slots_read.active && id == slots_read.id) {
        slots_read.active = false;
        last_read = now;
        if (ended()) return;
        if (!result) {
            ++counters.read_errors;
            if (!read_failing) warn("reading the slots failed: " + describe(result.error()) + "; trying again until the lease ends");
            read_failing = true;
            read_again = now + timing.heartbeat / 8;
            return;
        }
        if (std::exchange(read_failing, false)) warn("reading the slots works again");
        read_latency = now - slots_read.submitted;
        return slots_done(*result);
    }
    if (volume_check.active && id == volume_check.id) return volume_checked(result);
    for (NodeIndex node = 0; node < fetches.size(); ++node)
        if (fetches[node].active && fetches[node].id == id) return pages_done(node, result);
    SDLM_UNREACHABLE();
}

void NodeCore::Impl::count_bad_block(Errc code) {
    ++counters.bad_blocks;
    if (code == Errc::wrong_volume) ++counters.foreign_blocks;
    if (code == Errc::wrong_block || code == Errc::wrong_node) ++counters.misplaced_blocks;
}

// A page that stays unreadable is said once: its node is followed no further until it writes the page again.
void NodeCore::Impl::page_failed(NodeIndex node, std::uint64_t page, const Error& error) {
    ++counters.bad_pages;
    Fetch& f = fetches[node];
    if (f.failed_page != page) {
        f.failed_page = page;
        f.failed_since = now;
        f.failure_told = false;
    }
    if (f.failure_told || now - f.failed_since < timing.heartbeat * 2) return;
    f.failure_told = true;
    warn("journal of node " + std::to_string(node) + ": page " + std::to_string(page) + " stays unreadable: " + describe(error) +
         "; its locks are not known here until it writes them again");
}

// The device may have been exchanged under this node. A slot of another volume, or no readable slot but the own, is a
// sign; the superblock says what it is.
void NodeCore::Impl::doubt_volume(const std::vector<heartbeat::Sight>& sights) {
    const bool foreign = std::any_of(sights.begin(), sights.end(), [](const heartbeat::Sight& sight) {
        return !sight.header && sight.header.error().code == Errc::wrong_volume;
    });
    bool others = sights.size() < 2;
    for (NodeIndex node = 0; node < sights.size(); ++node)
        others = others || (node != member.node() && sights[node].header.has_value());
    volume_check.alone = !others;
    volume_check.wanted = volume_check.wanted || foreign || !others;
}

void NodeCore::Impl::volume_checked(const Result<std::span<const std::byte>>& result) {
    volume_check.active = false;
    if (ended() || !result) return;
    const auto found = disk::decode_superblock(*result, disk::superblock_offset);
    if (found && found->uuid == superblock.uuid) return;
    if (found)
        return member.lose("the device shows another volume, " + to_string(found->uuid) + "; it was exchanged or formatted");
    if (volume_check.alone)
        member.lose("the device shows no volume any more (superblock: " + describe(found.error()) + "); it was exchanged or overwritten");
}

void NodeCore::Impl::slots_done(std::span<const std::byte> bytes) {
    const disk::Geometry& geometry = superblock.geometry;
    SDLM_ASSERT(bytes.size() == geometry.slots_bytes());
    locks.begin_read(++reads_done);
    std::vector<heartbeat::Sight> sights;
    sights.reserve(geometry.slot_count);
    for (NodeIndex node = 0; node < geometry.slot_count; ++node) {
        const auto block = bytes.subspan(std::size_t{node} * geometry.block_bytes, geometry.block_bytes);
        auto header = disk::decode_slot_header(block, superblock.uuid, node, geometry.slot_offset(node));
        const std::uint32_t digest = header ? 0 : crc32c(block);
        if (header) locks.see_clock(header->clock);
        else count_bad_block(header.error().code);
        sights.push_back({std::move(header), digest});
    }
    doubt_volume(sights);
    member.set_past_known(past_known());
    member.slots_read(slots_read.submitted, now, slots_read.own_written, sights);
    for (NodeIndex node = 0; node < geometry.slot_count; ++node) {
        if (!sights[node].header || node == member.node()) continue;
        const disk::SlotState state = sights[node].header->state;
        if (state == disk::SlotState::claiming || state == disk::SlotState::left)
            learn_facts(node, state, bytes.subspan(std::size_t{node} * geometry.block_bytes, geometry.block_bytes));
    }
    membership_events();
    if (ended()) return;
    answer_questions();
    // A failed write may land late, over the flags of a newer one; a read counts when that cannot happen after it any
    // more.
    const bool own_good = (!live() || member.own_slot_good()) && slots_read.submitted >= settled_after;
    for (NodeIndex node = 0; node < geometry.slot_count; ++node) {
        const heartbeat::Peer& peer = member.peer(node);
        if (node == member.node() || !peer.current || !peer.followed()) continue;
        if (!peer.alive()) {                             // claiming: it has no records yet
            if (own_good) synced[node] = {slots_read.view, reads_done};
            continue;
        }
        // Nor does an image count that a late write of its node may replace.
        follow(node, bytes.subspan(std::size_t{node} * geometry.block_bytes, geometry.block_bytes),
               own_good && !peer.header.unsettled);
    }
    if (own_good) {
        last_view = {slots_read.view, reads_done};
        view_known = true;
    }
    know_last_images();
    believe_facts();
    if (!ended()) update_view();
}

// What a claimer or a leaver knew of deaths: true for ever, whatever has become of it. The records of a live node come
// in order, through its replica.
void NodeCore::Impl::learn_facts(NodeIndex node, disk::SlotState state, std::span<const std::byte> block) {
    scratch.clear();
    if (!disk::decode_slot_records(block, superblock.geometry.slot_offset(node), scratch)) return;
    for (const disk::Record& record : scratch) {
        const auto* evict = std::get_if<disk::EvictEntry>(&record);
        if (evict == nullptr || evict->evict.retracted || evict->node >= synced.size()) continue;
        if (evict->evict.incarnation.question()) asked.insert(node);
        else {
            hear_fact(node, *evict);
            if (live() && state == disk::SlotState::claiming && member.peer(node).followed())
                answer_fact(evict->node, evict->evict);   // it waits for that
        }
    }
}

// Brings the replica of a node to the image of this read, or starts to read the pages that are missing.
void NodeCore::Impl::follow(NodeIndex node, std::span<const std::byte> block, bool own_good) {
    const disk::SlotHeader& header = member.peer(node).header;
    locks::Replica& replica = replicas[node];
    if (replica.incarnation() != header.incarnation || replica.fetching()) return;
    if (fetches[node].active) return;                    // still of the life before this one
    if (header.sequence > replica.applied_sequence()) {
        scratch.clear();
        const auto decoded = disk::decode_slot_records(block, superblock.geometry.slot_offset(node), scratch);
        if (!decoded) {
            count_bad_block(decoded.error().code);
            warn("slot " + std::to_string(node) + ": " + describe(decoded.error()));
            return;
        }
        const auto range = replica.image(header, scratch, *this);
        locks.image_seen(node, header.clock);
        if (range) {
            Fetch& f = fetches[node];
            f.next = range->first;
            f.end = range->first + range->count;
            f.synced = own_good ? Synced{slots_read.view, reads_done} : Synced{};
            f.incarnation = header.incarnation;
            return;
        }
    }
    if (own_good && replica.applied_sequence() >= header.sequence) synced[node] = {slots_read.view, reads_done};
}

void NodeCore::Impl::pages_done(NodeIndex node, Result<std::span<const std::byte>> result) {
    Fetch& f = fetches[node];
    f.active = false;
    if (ended()) return;
    locks::Replica& replica = replicas[node];
    if (f.next == f.end || replica.incarnation() != f.incarnation || !replica.fetching()) {
        f.next = f.end;                                  // the life ended meanwhile
        return;
    }
    std::optional<Error> failure;
    scratch.clear();
    if (!result) {
        failure = result.error();
        ++counters.read_errors;
    }
    for (std::uint32_t i = 0; !failure && i < f.count; ++i) {
        const disk::PageHeader expected{node, f.incarnation, f.next + i};
        const auto page = result->subspan(std::size_t{i} * limits::page_bytes, limits::page_bytes);
        const auto decoded = disk::decode_page(page, superblock.uuid, expected,
                                               superblock.geometry.page_offset(node, f.next + i), scratch);
        if (decoded) continue;
        failure = decoded.error();
        page_failed(node, f.next + i, *failure);
    }
    if (failure) {
        // Not written yet, half written, or overwritten already: the node is alive and writes on, or it will be
        // evicted.
        if (failure->code != Errc::stale && failure->code != Errc::bad_checksum && failure->code != Errc::bad_magic &&
            failure->code != Errc::wrong_volume)
            warn("journal of node " + std::to_string(node) + ": " + describe(*failure));
        replica.fetch_failed();
        f.next = f.end;
        read_again = earlier(read_again, now + std::max(poll_min, read_latency));
        return;
    }
    const bool complete = replica.pages(f.count, scratch, *this);
    f.next += f.count;
    if (!complete) return;
    if (f.synced.read > synced[node].read) synced[node] = f.synced;
    know_last_images();
    believe_facts();
    if (!ended()) update_view();
}

void NodeCore::Impl::hear_fact(NodeIndex by, const disk::EvictEntry& entry) {
    const disk::EvictRecord& evict = entry.evict;
    member.generation_known(entry.node, evict.incarnation.generation);
    if (entry.node == member.node()) return member.fact(by, entry.node, evict.incarnation, evict.last_sequence);
    const heartbeat::Peer& peer = member.peer(entry.node);
    const bool heard =
        std::any_of(told_facts.begin(), told_facts.end(), [&](const Told& told) { return told.node == entry.node; });
    if (!heard && peer.followed() && peer.header.incarnation == evict.incarnation)
        told_facts.push_back({by, entry.node, evict.incarnation, evict.last_sequence, reads_done});
}

// A fact is believed when all others have been read after it was.
void NodeCore::Impl::believe_facts() {
    if (told_facts.empty()) return;
    std::erase_if(told_facts, [&](const Told& fact) {
        const heartbeat::Peer& peer = member.peer(fact.node);
        if (!peer.followed() || peer.header.incarnation != fact.incarnation)
            return true;   // settled otherwise meanwhile
        for (NodeIndex node = 0; node < synced.size(); ++node) {
            if (node == member.node() || node == fact.node || !member.peer(node).alive()) continue;
            if (synced[node].read <= fact.read) return false;
        }
        member.fact(fact.by, fact.node, fact.incarnation, fact.sequence);
        return true;
    });
    membership_events();
}

// The view is as old as what is known of the node that is known worst.
void NodeCore::Impl::update_view() {
    if (!view_known || !live()) return;
    Synced known = last_view;
    for (NodeIndex node = 0; node < synced.size(); ++node) {
        if (node == member.node()) continue;
        const heartbeat::Peer& peer = member.peer(node);
        const bool unknown = peer.damaged && !peer.ignored && !peer.followed();
        if (unknown) return;                             // somebody may live there whose flags cannot be read
        // A claim counts as well: who was claiming when last seen, and cannot be read now, may be live by now.
        if (!peer.followed()) continue;
        known.view = std::min(known.view, synced[node].view);
        known.read = std::min(known.read, synced[node].read);
    }
    locks.set_view(known.view, known.read);
    check_settled();
    locks.evaluate_pending();
}

void NodeCore::Impl::apply(NodeIndex node, std::uint32_t stamp, const disk::Record& record) {
    if (const auto* lock = std::get_if<disk::LockEntry>(&record)) {
        locks.apply(node, stamp, *lock);
    } else if (const auto* evict = std::get_if<disk::EvictEntry>(&record)) {
        if (evict->evict.incarnation.question()) {
            if (evict->evict.retracted) answers.erase({node, evict->node});
            else answers[{node, evict->node}] = {evict->evict.incarnation.nonce, stamp};
            return;
        }
        if (evict->evict.retracted) facts.erase({node, evict->node});
        else facts[{node, evict->node}] = {evict->evict, stamp};
        if (evict->evict.retracted) return;
        hear_fact(node, *evict);
        answer_fact(evict->node, evict->evict);
    } else if (const auto* fence = std::get_if<disk::FenceEntry>(&record)) {
        if (!fence->fence.retracted && fence->node == member.node() && fence->fence.incarnation == member.incarnation())
            fence_by = node;
    } else if (const auto* entry = std::get_if<disk::MemberEntry>(&record)) {
        if (entry->member.left) peer_members.erase({node, entry->lockspace});
        else peer_members[{node, entry->lockspace}] = stamp;
    }
}

void NodeCore::Impl::valid_from(NodeIndex node, std::uint32_t stamp) {
    locks.valid_from(node, stamp);
    const auto old = [&](const auto& entry) { return entry.first.first == node && entry.second.stamp < stamp; };
    std::erase_if(facts, old);
    std::erase_if(answers, old);
    std::erase_if(peer_members, [&](const auto& entry) { return entry.first.first == node && entry.second < stamp; });
}

}  // namespace sdlm::node
