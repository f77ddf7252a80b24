// SPDX-License-Identifier: LGPL-2.1-or-later
// The order of things in one pump: deaths and lives, decisions, events for clients, I/O.
#include <algorithm>
#include <array>

#include "disk/base/assert.hpp"
#include "disk/base/canary.hpp"
#include "locks/node/node_impl.hpp"

namespace sdlm::node {

namespace {
// Whoever is alive and has not answered a death after so many dead times has joined since, or its answer is gone with
// the need for it.
constexpr std::int64_t answer_patience = 3;

// Who has settled the end of a later life in a slot had settled those before.
bool settles(const disk::EvictRecord& fact, const Incarnation& life) {
    return fact.settled && (fact.incarnation == life || fact.incarnation.generation > life.generation);
}

}  // namespace

using heartbeat::EndedBy;
using heartbeat::Own;
using heartbeat::PeerEvent;

NodeCore::Impl::Impl(const disk::Superblock& sb, const heartbeat::Timing& t, Identity id)
    : superblock(sb),
      timing(t),
      identity(std::move(id)),
      member({.slot_count = sb.geometry.slot_count,
              .timing = t,
              .requested = identity.requested,
              .host = identity.host,
              .boot = identity.boot,
              .nonce_seed = identity.nonce_seed,
              .started_unix = identity.started_unix}),
      log(disk::inline_capacity(sb.geometry.block_bytes), sb.geometry.ring_pages()),
      locks(sb.geometry.slot_count, t, log),
      fetches(sb.geometry.slot_count),
      synced(sb.geometry.slot_count),
      appeared_at(sb.geometry.slot_count, Instant{INT64_MIN / 2}) {
    for (NodeIndex node = 0; node < sb.geometry.slot_count; ++node) replicas.emplace_back(node);
}

bool NodeCore::Impl::ended() const {
    return lost() || member.own() == Own::left || member.own() == Own::failed;
}

bool NodeCore::Impl::lost() const { return member.own() == Own::lost || member.own() == Own::fenced; }

std::size_t NodeCore::Impl::peers_alive() const {
    std::size_t count = 0;
    for (NodeIndex node = 0; node < synced.size(); ++node)
        if (node != member.node() && member.peer(node).alive()) ++count;
    return count;
}

void NodeCore::Impl::warn(std::string text) {
    if (events.size() < 256) events.push_back(Warning{std::move(text)});
}

void NodeCore::Impl::pump(Instant at, Output& out) {
    out.clear();
    now = at;
    member.tick(now);
    membership_events();
    if (fence_by) member.begin_fence("fenced at the request of node " + std::to_string(*fence_by));
    member.set_ready(member.own() == Own::claiming && ready_to_live());
    own_transitions();
    if (live()) {
        // Clients answer events with new demands; a burst is decided in one go, but not for ever.
        for (int round = 0; round < 64 && decide_locks(); ++round) deliver();
        leave_progress();
    }
    if (!ended()) {
        write_if_due(out);
        read_if_due(out);
    }
    own_transitions();
    out.events = std::move(events);
    events.clear();
    out.wake = earlier(next_write(), next_read());
    if (member.own() == Own::fencing) out.wake = earlier(out.wake, member.lease_end());
    if (live())
        out.wake = earlier(out.wake, earlier(member.lease_end(), earlier(locks.deadline(), locks.search_due())));
    // A leave that is over its time waits for the batch under way, not for the clock.
    if (live() && leave_deadline > now) out.wake = earlier(out.wake, leave_deadline);
    if (live() && locks.more()) out.wake = now;
}

void NodeCore::Impl::membership_events() {
    for (std::string& text : member.warnings()) warn(std::move(text));
    member.warnings().clear();
    std::vector<PeerEvent> work;
    while (!member.events().empty()) {
        work.clear();
        work.swap(member.events());
        for (const PeerEvent& event : work) {
            switch (event.kind) {
                case PeerEvent::Kind::appeared: peer_appeared(event); break;
                case PeerEvent::Kind::ended: peer_ended(event); break;
                case PeerEvent::Kind::evict:
                    if (!identity.hold_evictions || member.peer(event.node).proven_dead()) {
                        evict(event.node, event.incarnation, event.sequence);
                        break;
                    }
                    held_evictions[event.node] = event.incarnation;
                    events.push_back(PeerSilent{event.node, event.incarnation});
                    break;
            }
        }
    }
}

void NodeCore::Impl::peer_appeared(const PeerEvent& event) {
    replicas[event.node].reset(event.incarnation, *this);
    synced[event.node] = {};
    appeared_at[event.node] = now;
    events.push_back(PeerJoined{event.node});
}

void NodeCore::Impl::evict(NodeIndex node, const Incarnation& incarnation, std::uint64_t sequence) {
    publish_evict(node, incarnation, sequence);
    // Before it is live a node decides nothing that others could contradict.
    if (!live()) member.evict_published(node);
}

void NodeCore::Impl::confirm_eviction(NodeIndex node, const Incarnation& incarnation) {
    const auto held = held_evictions.find(node);
    if (held == held_evictions.end() || held->second != incarnation) return;
    held_evictions.erase(held);
    const heartbeat::Peer& peer = member.peer(node);
    if (ended() || !peer.followed() || peer.header.incarnation != incarnation) return;
    evict(node, incarnation, peer.header.sequence);
}

// Nobody uses anything of a life whose slot says `fenced`: its end is published when its last image is known, however
// short ago it was heard of.
void NodeCore::Impl::know_last_images() {
    for (NodeIndex node = 0; node < synced.size(); ++node) {
        if (node == member.node()) continue;
        const heartbeat::Peer& peer = member.peer(node);
        if (!peer.proven_dead() || replicas[node].fetching()) continue;
        if (replicas[node].applied_sequence() == peer.header.sequence) member.last_image_known(node);
    }
    membership_events();
}

// The life that was asked to stop has ended.
void NodeCore::Impl::retract_fence(NodeIndex node) {
    const auto own = own_fences.find(node);
    if (own == own_fences.end()) return;
    const disk::FenceRecord record{.incarnation = own->second.incarnation, .retracted = true};
    log_record(own->second.entry, disk::FenceEntry{node, record}, Record::goes);
    own_fences.erase(own);
}

// The slot has a new life, and all have published what the old one's death meant: nobody needs to know of it any more.
void NodeCore::Impl::retract_fact(NodeIndex node, OwnFact& fact) {
    fact.record.retracted = true;
    if (fact.entry != locks::no_entry) log_evict(fact.entry, node, fact.record);
}

// Publishes the record, or its end when it says that it is retracted.
void NodeCore::Impl::log_evict(locks::EntryId& entry, NodeIndex node, const disk::EvictRecord& record) {
    log_record(entry, disk::EvictEntry{node, record}, record.retracted ? Record::goes : Record::stays);
}

void NodeCore::Impl::log_record(locks::EntryId& entry, const disk::Record& record, Record what) {
    std::array<std::byte, disk::record_bytes_max> buffer;
    const auto bytes = std::span(buffer).first(disk::encode(record, buffer, 0));
    if (what == Record::goes) return log.remove(entry, bytes);
    if (entry == locks::no_entry) entry = log.add();
    log.update(entry, bytes);
}

void NodeCore::Impl::peer_ended(const PeerEvent& event) {
    locks::Replica& replica = replicas[event.node];
    const bool exact = event.claim_only || (!event.damaged && replica.incarnation() == event.incarnation &&
                                            !replica.fetching() && replica.applied_sequence() == event.sequence);
    const bool had_records = locks.records_of(event.node) > 0 || !exact;
    using End = locks::LocksCore::End;
    const End how = event.by == EndedBy::left ? End::clean : (exact || !had_records ? End::dead : End::dead_inexact);
    fetches[event.node].next = fetches[event.node].end;
    const std::uint64_t death =
        locks.peer_ended(event.node, replica.end(), {how, oldest_unanswered(event.node), witnesses_of(event)});
    std::erase_if(peer_members, [&](const auto& entry) { return entry.first.first == event.node; });
    std::erase_if(facts, [&](const auto& fact) { return fact.first.first == event.node; });
    std::erase_if(answers, [&](const auto& answer) { return answer.first.first == event.node; });
    synced[event.node] = {};
    held_evictions.erase(event.node);
    retract_fence(event.node);
    if (event.by == EndedBy::left) {
        events.push_back(PeerLeft{event.node});
    } else {
        const auto own = own_facts.find(event.node);
        const bool mine = own != own_facts.end() && own->second.record.incarnation == event.incarnation;
        // Everybody repeats the fact: others wait until all live nodes know of a death and have published what it meant
        // for values.
        OwnFact& fact = own_facts[event.node];
        if (fact.death != 0) locks.death_follows(fact.death, death);
        if (!mine) {
            fact.record = {.incarnation = event.incarnation, .last_sequence = event.sequence};
            fact.announced = true;
        }
        fact.last_sequence = event.sequence;
        fact.death = fact.number = death;
        fact.since = now;
        fact.claim_only = event.claim_only;
        fact.settle_due = true;
        write_now = true;
        ++counters.evictions;
        const bool proven = member.peer(event.node).header.state == disk::SlotState::fenced;
        events.push_back(PeerEvicted{event.node, event.incarnation, mine && event.by == EndedBy::evicted, proven});
    }
    if (live()) update_view();
}

std::bitset<limits::slots_max> NodeCore::Impl::witnesses_of(const PeerEvent& event) const {
    std::bitset<limits::slots_max> out;
    if (event.by != EndedBy::evicted)
        return out;   // its slot was claimed or left, perhaps since everybody else was read
    for (NodeIndex node = 0; node < synced.size(); ++node) {
        const auto fact = facts.find({node, event.node});
        const bool knows = fact != facts.end() && fact->second.incarnation == event.incarnation;
        out.set(node, member.peer(node).alive() && !knows);
    }
    return out;
}

// The oldest death here that `node` had not settled.
std::uint64_t NodeCore::Impl::oldest_unanswered(NodeIndex node) const {
    std::uint64_t oldest = 0;
    for (const auto& [dead, own] : own_facts) {
        if (dead == node || own.number == 0) continue;
        const auto fact = facts.find({node, dead});
        const bool settled = fact != facts.end() && settles(fact->second, own.record.incarnation);
        if (!settled && (oldest == 0 || own.number < oldest)) oldest = own.number;
    }
    return oldest;
}

void NodeCore::Impl::publish_evict(NodeIndex node, const Incarnation& incarnation, std::uint64_t sequence) {
    OwnFact& fact = own_facts[node];
    fact.record = {.incarnation = incarnation, .last_sequence = sequence};
    fact.last_sequence = sequence;
    fact.settle_due = false;               // an answer about an earlier life may be under way
    fact.announced = false;
    log_evict(fact.entry, node, fact.record);
    write_now = true;
}

// Somebody evicted a life that this node does not follow, or not any more: nothing changes here, and that is the answer
// it waits for.
void NodeCore::Impl::answer_fact(NodeIndex node, const disk::EvictRecord& evicted) {
    if (node >= synced.size()) return;
    const heartbeat::Peer& peer = member.peer(node);
    if (node != member.node() && peer.followed() && peer.header.incarnation == evicted.incarnation) return;
    const auto own = own_facts.find(node);
    if (own != own_facts.end()) {
        const OwnFact& known = own->second;
        const bool later = known.record.incarnation == evicted.incarnation ||
                           known.record.incarnation.generation > evicted.incarnation.generation;
        if (later || known.death != 0 || !known.record.settled) return;
    }
    OwnFact& fact = own_facts[node];
    fact.record = {.incarnation = evicted.incarnation, .last_sequence = evicted.last_sequence};
    fact.last_sequence = evicted.last_sequence;
    fact.announced = true;
    fact.since = now;
    fact.settle_due = true;
    write_now = true;
}

// A claim asks who is alive and has no doubt about any slot: who follows no life that it cannot see any more, and has published what
// the ends of all lives meant that it knew to have ended. The answer is a fact about no life, with the claim's nonce. It is given from a
// read that began after the claim was seen, so what the claimer could not see when it began is seen here as well. It goes when the claim
// is none any more.
void NodeCore::Impl::answer_questions() {
    const auto claims = [&](NodeIndex node, std::uint64_t nonce) {
        const heartbeat::Peer& peer = member.peer(node);
        return peer.followed() && peer.header.state == disk::SlotState::claiming &&
               peer.header.incarnation.nonce == nonce;
    };
    for (auto it = own_answers.begin(); it != own_answers.end();) {
        auto& [node, answer] = *it;
        if (live() && claims(node, answer.nonce)) {
            ++it;
            continue;
        }
        if (answer.entry != locks::no_entry) log_evict(answer.entry, node, {.incarnation = {0, answer.nonce}, .retracted = true, .settled = true});
        it = own_answers.erase(it);
    }
    for (const NodeIndex node : asked) {
        const std::uint64_t nonce = member.peer(node).header.incarnation.nonce;
        if (!live() || node == member.node() || !claims(node, nonce)) continue;
        OwnAnswer& answer = own_answers[node];
        if (answer.nonce == 0) {
            answer.nonce = nonce;
            answer.seen_read = reads_done;
        } else if (answer.entry == locks::no_entry && reads_done > answer.seen_read && !in_doubt()) {
            log_evict(answer.entry, node, {.incarnation = {0, answer.nonce}, .settled = true});
            write_now = true;
        }
    }
    asked.clear();
}

bool NodeCore::Impl::in_doubt() const {
    for (NodeIndex node = 0; node < synced.size(); ++node) {
        const heartbeat::Peer& peer = member.peer(node);
        if (node != member.node() && peer.followed() && (peer.damaged || peer.proven_dead())) return true;
    }
    return !told_facts.empty() ||
           std::any_of(own_facts.begin(), own_facts.end(), [](const auto& fact) { return !fact.second.record.settled; });
}

// Called when every changed lock record has been handed to the log, which keeps their order over batches. An entry that
// is still to be composed has its place before them.
void NodeCore::Impl::settle_facts() {
    for (auto& [node, fact] : own_facts) {
        if (!fact.settle_due) continue;
        if (fact.entry != locks::no_entry && log.pending(fact.entry)) {
            write_now = true;
            continue;
        }
        fact.settle_due = false;
        fact.record.settled = true;
        log_evict(fact.entry, node, fact.record);
    }
}

// Whoever appeared after `since` has waited for the answers of the others itself.
bool NodeCore::Impl::settled_by_all(NodeIndex node, const Incarnation& incarnation, Instant since) const {
    for (NodeIndex by = 0; by < synced.size(); ++by) {
        if (by == member.node() || by == node || !member.peer(by).alive() || appeared_at[by] > since) continue;
        const auto fact = facts.find({by, node});
        if (fact == facts.end() || !settles(fact->second, incarnation)) return false;
    }
    return true;
}

void NodeCore::Impl::check_settled() {
    for (auto it = own_facts.begin(); it != own_facts.end();) {
        auto& [node, fact] = *it;
        if (fact.death != 0 &&
            (settled_by_all(node, fact.record.incarnation, fact.since) || now - fact.since > timing.dead() * answer_patience)) {
            locks.death_settled(fact.death);
            fact.death = 0;
        }
        const heartbeat::Peer& peer = member.peer(node);
        const bool replaced =
            node == member.node() || (peer.alive() && peer.header.incarnation != fact.record.incarnation);
        if (fact.death == 0 && fact.announced && !fact.settle_due && replaced && now - fact.since > timing.dead()) {
            retract_fact(node, fact);
            it = own_facts.erase(it);
        } else {
            ++it;
        }
    }
}

bool NodeCore::Impl::past_known() const {
    for (NodeIndex node = 0; node < synced.size(); ++node) {
        const heartbeat::Peer& peer = member.peer(node);
        if (node != member.node() && peer.alive() && replicas[node].applied_sequence() == 0) return false;
    }
    return true;
}

bool NodeCore::Impl::answered(NodeIndex by) const {
    const auto answer = answers.find({by, member.node()});
    return SDLM_CANARY(7) || (answer != answers.end() && answer->second.nonce == member.incarnation().nonce);
}

// All peers are known completely, and every live peer has said that it knows of every death that is still to be seen.
bool NodeCore::Impl::ready_to_live() const {
    if (last_read < batch.submitted || !past_known()) return false;
    bool acknowledged = true;
    for (NodeIndex node = 0; node < synced.size(); ++node) {
        if (node == member.node()) continue;
        const heartbeat::Peer& peer = member.peer(node);
        if (peer.damaged && !peer.ignored && !peer.followed()) return false;
        // Somebody dead whom nobody has evicted yet may carry values that were outdated before, and a late write of it
        // is no sign of life: wait for the answer to this claim, which also says that all lives before it are settled
        // there, or for its end.
        if (peer.alive() && !answered(node)) return false;
    }
    // Also of lives whose slots have new ones by now.
    for (const auto& [node, fact] : own_facts)
        if (!fact.claim_only) acknowledged = acknowledged && settled_by_all(node, fact.record.incarnation, never);
    for (const auto& [said, fact] : facts)
        if (member.peer(said.first).alive())
            acknowledged = acknowledged && settled_by_all(said.second, fact.incarnation, never);
    return acknowledged || (joining_since != never && now - joining_since > timing.dead() * answer_patience);
}

void NodeCore::Impl::own_transitions() {
    if (member.own() == Own::claiming && joining_since == never) joining_since = now;
    if (member.own() == Own::live && !joined_told) {
        joined_told = true;
        locks.set_me(member.node());
        events.push_back(Joined{member.node(), member.incarnation()});
    }
    if (member.own() == Own::fencing && !fence_told) {
        fence_told = true;
        stop_clients();
        events.push_back(FenceBegun{member.reason()});
    }
    if (!ended() || end_told) return;
    end_told = true;
    if (member.own() == Own::left) {
        events.push_back(Left{});
    } else if (member.own() == Own::failed) {
        events.push_back(JoinFailed{member.error(), member.reason()});
    } else if (member.own() == Own::fenced) {
        events.push_back(Fenced{member.reason()});
    } else {
        stop_clients();
        events.push_back(LeaseLost{member.reason()});
    }
}

// I1: from here on nothing is used. Each client is told once.
void NodeCore::Impl::stop_clients() {
    std::map<std::string, Lockspace> told;
    told.swap(lockspaces);
    for (auto& [name, lockspace] : told) lockspace.events->lease_lost();
}

bool NodeCore::Impl::decide_locks() {
    if (locks.deadline() <= now) locks.evaluate_pending();
    if (locks.search_due() <= now) locks.search_deadlocks(now);
    return locks.evaluate_touched(now);
}

void NodeCore::Impl::deliver() {
    std::vector<locks::LockEvent> work;
    work.swap(locks.events());
    for (const locks::LockEvent& event : work) {
        if (!locks.alive(event.handle)) continue;          // closed since
        locks::LockEvents* client = locks.events_of(event.handle);
        switch (event.kind) {
            case locks::LockEvent::Kind::granted:
                client->granted(event.handle, event.mode, locks.lvb(event.handle));
                break;
            case locks::LockEvent::Kind::refused: client->refused(event.handle, event.why); break;
            case locks::LockEvent::Kind::blocked: client->blocked(event.handle, event.mode); break;
        }
    }
}

void NodeCore::Impl::leave(Instant at) {
    now = at;
    if (leave_called || ended()) return;
    leave_called = true;
    leave_deadline = now + timing.dead() * 2;
    if (live()) locks.release_all(now);
    member.leave();
    write_now = true;
}

// Values that others still need are handed over first; nobody takes them within the bound: they are dropped.
void NodeCore::Impl::leave_progress() {
    if (leave_deadline == never || member.own() != Own::leaving) return;
    if (batch.active || batch.composed || log.dirty() || locks.urgency() != locks::Urgency::none) return;
    if (locks.drained() || now >= leave_deadline) {
        member.leave_ready();
        leave_deadline = never;
    }
}

}  // namespace sdlm::node
