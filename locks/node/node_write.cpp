// SPDX-License-Identifier: LGPL-2.1-or-later
// Writing: one batch under way at a time; whatever arrives meanwhile rides in the next one.
#include <algorithm>
#include <array>

#include "disk/base/assert.hpp"
#include "locks/node/node_impl.hpp"

namespace sdlm::node {

using heartbeat::Own;

bool NodeCore::Impl::write_due() const { return next_write() <= now; }

Instant NodeCore::Impl::next_write() const {
    if (batch.active || ended()) return never;
    Instant due = member.write_due();
    if (live()) {
        if (write_now || batch.composed || locks.urgency() == locks::Urgency::urgent) due = Instant{};
        due = earlier(due, locks.soon_at());
        if (wrote_unsettled) due = earlier(due, settled_after);         // others wait for it
    }
    if (due == never) return never;
    // Nothing may land over the last image.
    if (member.own() == Own::fencing && !fenced_written) due = std::max(due, settled_after);
    return due < batch.retry_at ? batch.retry_at : due;
}

void NodeCore::Impl::write_if_due(Output& out) {
    if (write_due()) submit_batch(out);
}

void NodeCore::Impl::add_write(Output& out, std::uint64_t offset, std::vector<std::byte> bytes) {
    const IoId id = next_id++;
    batch.outstanding.insert(id);
    out.writes.push_back({id, offset, std::move(bytes)});
}

void NodeCore::Impl::submit_batch(Output& out) {
    SDLM_ASSERT(!batch.active && batch.outstanding.empty());
    disk::SlotHeader header;
    member.fill(header);
    const bool last = header.state == disk::SlotState::fenced;
    fenced_written = fenced_written || last;
    const bool with_records =
        last || header.state == disk::SlotState::live || header.state == disk::SlotState::leaving;
    if (with_records && !batch.composed) {
        write_now = false;
        locks.flush();
        settle_facts();
        log.compose(batch.content);
        batch.ordinal = ++writes_composed;
        batch.composed = true;
        locks.composed(batch.ordinal);
        if (log.dirty()) write_now = true;          // more than one batch can take
    }
    header.unsettled = wrote_unsettled = !last && now < settled_after;
    header.clock = locks.clock();
    header.write_us = static_cast<std::uint32_t>(std::min<std::int64_t>(write_latency.ns / 1000, UINT32_MAX));
    header.read_us = static_cast<std::uint32_t>(std::min<std::int64_t>(read_latency.ns / 1000, UINT32_MAX));
    std::vector<std::byte> block(superblock.geometry.block_bytes);
    const std::uint64_t offset = superblock.geometry.slot_offset(member.node());
    if (with_records) {
        header.stream = batch.content.position;
        disk::encode_slot(header, batch.content.inline_count, batch.content.inline_bytes, superblock.uuid, offset,
                          block);
        add_pages(out);
    } else {
        header.stream.complete = true;
        std::vector<std::byte> facts_bytes;
        const std::uint16_t count = encode_facts(facts_bytes);
        disk::encode_slot(header, count, facts_bytes, superblock.uuid, offset, block);
    }
    if (with_records && !card_written) add_card(out);
    add_write(out, offset, std::move(block));
    ++counters.slot_writes;
    batch.active = true;
    batch.failed = false;
    batch.submitted = now;
    batch.sequence = header.sequence;
    member.write_submitted(now);
}

// A claim and a slot that was left still say which deaths their node knew of: whoever joins meanwhile could otherwise
// count the records of a node that the leaver has already evicted, and that its last decisions left out. A claim also
// asks everybody who is alive (a fact about no life, with its nonce).
std::uint16_t NodeCore::Impl::encode_facts(std::vector<std::byte>& out) const {
    std::array<std::byte, disk::record_bytes_max> buffer;
    std::uint16_t count = 0;
    const auto add = [&](NodeIndex node, const disk::EvictRecord& record) {
        const std::size_t bytes = disk::encode(disk::Record(disk::EvictEntry{node, record}), buffer, 0);
        if (out.size() + bytes > disk::inline_capacity(superblock.geometry.block_bytes)) return;
        out.insert(out.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(bytes));
        ++count;
    };
    if (member.own() == Own::claiming) add(member.node(), {.incarnation = {0, member.incarnation().nonce}});
    for (const auto& [node, fact] : own_facts)
        add(node, {.incarnation = fact.record.incarnation, .last_sequence = fact.last_sequence});
    return count;
}

// Pages of one batch are consecutive: one write, or two where the ring ends.
void NodeCore::Impl::add_pages(Output& out) {
    std::uint64_t start = 0;
    std::vector<std::byte> bytes;
    for (const locks::Batch::Page& page : batch.content.pages) {
        const std::uint64_t offset = superblock.geometry.page_offset(member.node(), page.number);
        if (!bytes.empty() && offset != start + bytes.size()) {
            add_write(out, start, std::move(bytes));
            bytes = {};
        }
        if (bytes.empty()) start = offset;
        bytes.resize(bytes.size() + limits::page_bytes);
        disk::encode_page({member.node(), member.incarnation(), page.number}, page.count, page.bytes, superblock.uuid,
                          offset, std::span(bytes).last(limits::page_bytes));
        ++counters.page_writes;
    }
    if (!bytes.empty()) add_write(out, start, std::move(bytes));
}

void NodeCore::Impl::add_card(Output& out) {
    disk::NodeCard card;
    card.node = member.node();
    card.incarnation = member.incarnation();
    card.host = identity.host;
    card.node_name = identity.node_name.substr(0, limits::node_name_bytes);
    card.host_name = identity.host_name.substr(0, limits::node_name_bytes);
    card.version = identity.version.substr(0, 32);
    card.pid = identity.pid;
    card.started_unix = identity.started_unix;
    std::vector<std::byte> bytes(limits::page_bytes);
    const std::uint64_t offset = superblock.geometry.card_offset(member.node());
    disk::encode_card(card, superblock.uuid, offset, bytes);
    batch.card = true;
    add_write(out, offset, std::move(bytes));
}

void NodeCore::Impl::write_done(Instant at, IoId id, Result<void> result) {
    now = at;
    SDLM_ASSERT(batch.outstanding.erase(id) == 1);
    if (!result) {
        ++counters.write_errors;
        batch.failed = true;
        warn("write failed: " + describe(result.error()) + "; trying again until the lease ends");
    }
    if (batch.outstanding.empty()) batch_done();
}

void NodeCore::Impl::batch_done() {
    batch.active = false;
    if (ended()) return;
    if (batch.failed) {
        // It may have landed all the same, or land later: the next image says the same and more, with a higher
        // sequence.
        batch.retry_at = now + std::min(milliseconds(50), timing.heartbeat / 4);
        batch.card = false;
        settled_after = now + timing.io_timeout * heartbeat::drift_num / heartbeat::drift_den;
        member.write_failed(now);
        return;
    }
    write_latency = now - batch.submitted;
    if (write_latency > timing.lease / 2) ++counters.slow_writes;
    if (batch.card) card_written = true;
    batch.card = false;
    const bool records = batch.composed;
    member.write_completed(now, batch.submitted, batch.sequence);
    if (!records || !live()) return;
    batch.composed = false;
    writes_done = batch.ordinal;
    for (auto& [node, fact] : own_facts) {
        if (fact.announced || fact.entry == locks::no_entry || log.pending(fact.entry)) continue;
        fact.announced = true;
        member.evict_published(node);
    }
}

}  // namespace sdlm::node
