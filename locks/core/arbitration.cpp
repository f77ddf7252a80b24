// SPDX-License-Identifier: LGPL-2.1-or-later
// The decisions on one resource: what to give up, what to tell, what to ask for, when to take it.
// Rules and their reasons: locks/PROTOCOL.md §4 and §5.
#include <algorithm>

#include "disk/base/assert.hpp"
#include "disk/base/canary.hpp"
#include "locks/core/locks_core.hpp"
#include "locks/core/mode.hpp"

namespace sdlm::locks {

namespace {
constexpr Mode all_modes[] = {Mode::EX, Mode::PW, Mode::PR, Mode::CW, Mode::CR, Mode::NL};

constexpr std::uint8_t bit(Mode m) { return detail::bit(m); }
constexpr std::uint8_t conflict_mask(Mode m) {
    return static_cast<std::uint8_t>(~detail::compatible_mask[static_cast<std::size_t>(m)] & 0x3f);
}
}  // namespace

// Order of wants: conversions of modes in use first, then tickets, then node numbers. Total, and the same for all
// nodes.
bool LocksCore::before(const LockRecord& record, NodeIndex node, const Resource& r) const {
    if (record.convert != r.demand.want->convert) return record.convert;
    if (record.ticket != r.ticket) return record.ticket < r.ticket;
    return node < me_;
}

LocksCore::Scan LocksCore::scan(const Resource& r) const {
    Scan s;
    s.max_ticket = std::max(r.placed ? r.ticket : 0, r.answered);
    const std::uint8_t used_conflicts = conflict_mask(r.demand.used);
    for (const PeerRecord& peer : r.peers) {
        if (!counts(peer)) continue;
        const LockRecord& record = peer.record;
        if (record.ticket != disk::provisional_ticket) s.max_ticket = std::max(s.max_ticket, record.ticket);
        s.max_ticket = std::max(s.max_ticket, record.answered);
        s.held_mask |= bit(record.held);
        if (record.phase != Phase::none) {
            s.want_mask |= bit(record.want);
            if (!record.noqueue || record.noqueue_bast) s.bast_mask |= bit(record.want);
            if (record.noqueue && (used_conflicts & bit(record.want)) != 0)
                s.noqueue_ticket = std::max(s.noqueue_ticket, record.ticket);
        }
        if (r.demand.want) scan_order(r, peer, r.target(), s);
        scan_lvb(record, s);
    }
    return s;
}

// Some third node holds against it. Whoever sees a later flag up does not grant, so it may be overtaken meanwhile.
bool LocksCore::held_up(const Resource& r, const PeerRecord& wanting) const {
    return std::any_of(r.peers.begin(), r.peers.end(), [&](const PeerRecord& peer) {
        return &peer != &wanting && counts(peer) && conflicts(peer.record.held, wanting.record.want);
    });
}

void LocksCore::scan_order(const Resource& r, const PeerRecord& peer, Mode target, Scan& s) const {
    const LockRecord& record = peer.record;
    if (conflicts(record.held, target) && !(SDLM_CANARY(4) && peer.node == 0)) {
        s.held_conflict = true;
        if (r.ticket != 0 && record.answered >= r.ticket) s.held_answered = true;
    }
    if (r.phase != Phase::none && r.demand.want->convert && !r.demand.want->deadlock_wait && !r.demand.want->noqueue &&
        record.convert && !record.noqueue && before(record, peer.node, r) && conflicts(record.held, target) &&
        conflicts(record.want, r.demand.used))
        s.deadlock = true;
    if (record.phase == Phase::none || !conflicts(record.want, target)) return;
    // It cannot be granted before what is used here is given up, so it is in nobody's way (a conversion overtakes it).
    if (conflicts(record.want, r.demand.used)) return;
    if (r.demand.want->convert && record.convert && held_up(r, peer)) return;
    // A want that has no place yet comes after all that has one.
    const bool low = r.ticket == 0 || before(record, peer.node, r);
    if (record.phase == Phase::trying) {
        (low ? s.try_low : s.try_high) = true;
    } else if (low) {
        s.wait_low = true;
        if (!record.noqueue) s.wait_low_queued = true;
    }
}

void LocksCore::evaluate(Resource& r, Instant now) {
    const Scan s = scan(r);
    if (r.open) {
        give_up(r, s, now);
        if (r.held != r.demand.used && r.phase == Phase::none && !r.demand.want && !idle_cacheable(r, now))
            lower(r, r.demand.used, Urgency::soon, now);
        announce(r, s);
        answer(r, s, now);
        decide(r, s, now);
    }
    keep_lvb(r, s, now);
}

// Held modes that no local lock uses are cached for nobody's sake but speed: whoever wants them gets them.
void LocksCore::give_up(Resource& r, const Scan& s, Instant now) {
    const auto against = static_cast<std::uint8_t>(s.want_mask & conflict_mask(r.held));
    if (against == 0) {
        // Granted but still shown as a try: others cannot tell until it is published.
        if (r.published.phase == Phase::trying && r.phase == Phase::none && r.entry != no_entry && s.want_mask != 0)
            mark(r, Urgency::urgent, now);
        return;
    }
    r.conflict_at = now;
    last_conflict_ = now;
    if (r.phase == Phase::none && r.entry != no_entry && r.published.phase != Phase::none)
        mark(r, Urgency::urgent, now);
    Mode keep = r.demand.used;
    for (Mode m : all_modes) {
        if (covers(r.held, m) && covers(m, r.demand.used) && (against & conflict_mask(m)) == 0) {
            keep = m;
            break;
        }
    }
    if (keep != r.held) lower(r, keep, Urgency::urgent, now);
    else if (r.published.held != r.held) mark(r, Urgency::urgent, now);
}

void LocksCore::announce(Resource& r, const Scan& s) {
    const auto against = static_cast<std::uint8_t>(s.bast_mask & conflict_mask(r.demand.used));
    Mode wanted = Mode::NL;
    for (Mode m : all_modes) {
        if ((against & bit(m)) != 0) {
            wanted = m;
            break;
        }
    }
    if (wanted == r.blocked) return;
    r.blocked = wanted;
    ++counters_.blocked_notices;
    events_.push_back({LockEvent::Kind::blocked, make_handle_of(r), wanted, {}});
}

// A trylock must learn that the mode is really in use, not merely cached.
void LocksCore::answer(Resource& r, const Scan& s, Instant now) {
    if (s.noqueue_ticket <= r.answered) return;
    r.answered = s.noqueue_ticket;
    mark(r, Urgency::urgent, now);
}

void LocksCore::decide(Resource& r, const Scan& s, Instant now) {
    if (!r.demand.want) return;
    if (r.phase == Phase::none) return start_want(r, s, now);
    if (refuse_now(r, s, now)) return refuse(r, Refusal::would_block, now);
    if (s.deadlock && r.flag_write != 0 && view_ >= r.flag_write) return refuse(r, Refusal::deadlock, now);
    if (!r.placed && !take_place(r, s, now)) return;
    const bool behind = s.try_low || s.wait_low;
    if (r.phase == Phase::waiting) {
        // First in the line: raise the flag, even while the mode is still held by others. Their release then needs no
        // further write of mine.
        if (!behind && !s.try_high) set_phase(r, Phase::trying, now);
        return;
    }
    if (behind) return set_phase(r, Phase::waiting, now);
    if (s.held_conflict || s.try_high) return;
    // I4, I5: the flag lies on the disk, and everybody was read after that.
    const bool known = SDLM_CANARY(1) || (r.flag_write != 0 && view_ >= r.flag_write);
    // I6: the value may be on its way from one slot to another, or from the dead to their heirs.
    r.settling = known && r.changed_read >= view_read_;
    const bool inherited = SDLM_CANARY(8) || r.unsettled == 0 || (!s.interest && s.best.version == 0);
    // The value of before is to go first, if nobody else has kept it (keep_lvb).
    if (known && !r.settling && inherited && !r.lapsed) grant(r, s, now, false);
}

void LocksCore::start_want(Resource& r, const Scan& s, Instant now) {
    if (covers(r.held, r.target())) return grant(r, s, now, true);
    if (log_.live_bytes() > log_.live_bytes_max()) return refuse(r, Refusal::no_space, now);
    r.placed = r.demand.want->noqueue;
    r.ticket = r.placed ? s.max_ticket + 1 : disk::provisional_ticket;
    r.place_by = never;
    r.after.clear();
    for (const PeerRecord& peer : r.peers)
        if (counts(peer) && peer.record.phase != Phase::none && peer.record.ticket == disk::provisional_ticket)
            r.after.push_back(peer.node);
    r.deadline = r.demand.want->noqueue ? now + timing_.answer() : never;
    begin_tag(r, now);
    const bool behind = s.try_low || s.wait_low || s.try_high;
    set_phase(r, behind ? Phase::waiting : Phase::trying, now);
    list(r);
}

// Somebody who was seen before this want was made has no place yet: it goes first.
bool LocksCore::unplaced_before(const Resource& r) const {
    return std::any_of(r.peers.begin(), r.peers.end(), [&](const PeerRecord& peer) {
        return counts(peer) && peer.record.phase != Phase::none && peer.record.ticket == disk::provisional_ticket &&
               conflicts(peer.record.want, r.target()) &&
               std::find(r.after.begin(), r.after.end(), peer.node) != r.after.end();
    });
}

// A replica may be a heartbeat old, so a ticket taken from it could overtake those who are in the line already. A want
// starts without a place, behind all that have one; the first view that is newer than its flag shows the line as it was
// then. Whoever is granted by that view needs no place. False: the order has changed, look again.
bool LocksCore::take_place(Resource& r, const Scan& s, Instant now) {
    if (r.flag_write == 0 || view_ < r.flag_write) return true;
    const bool free = !s.held_conflict && !s.try_low && !s.try_high && !s.wait_low;
    if (free) return true;
    // Bounded: the want seen before may have given way to a newer one of the same node, which in turn waits for this
    // one.
    if (unplaced_before(r)) {
        if (r.place_by == never) r.place_by = now + timing_.heartbeat;
        if (now < r.place_by) return true;
    }
    r.placed = true;
    r.ticket = s.max_ticket + 1;
    mark(r, Urgency::urgent, now);
    touch(r);
    return false;
}

bool LocksCore::refuse_now(const Resource& r, const Scan& s, Instant now) const {
    if (!r.demand.want->noqueue) return false;
    if (now >= r.deadline) return true;
    if (r.flag_write == 0 || view_ < r.flag_write) return false;
    return s.held_answered || s.wait_low_queued;
}

void LocksCore::set_phase(Resource& r, Phase phase, Instant now) {
    r.phase = phase;
    r.flag_write = 0;
    r.settling = false;
    if (phase == Phase::none) {
        end_tag(r, now);
        r.ticket = 0;
        r.deadline = never;
    }
    mark(r, Urgency::urgent, now);
}

void LocksCore::grant(Resource& r, const Scan& s, Instant now, bool cached) {
    const Mode target = r.target();
    learn_lvb(r, s);
    if (!cached) {
        // `held` above `target` may be cached; anything else idle was not arbitrated together with it.
        if (!covers(r.held, target)) set_held(r, target);
        r.phase = Phase::none;
        end_tag(r, now);
        r.ticket = 0;
        r.flag_write = 0;
        r.deadline = never;
        mark(r, s.want_mask != 0 ? Urgency::urgent : Urgency::lazy, now);
        ++counters_.grants;
    } else {
        ++counters_.cached_grants;
    }
    SDLM_ASSERT(covers(r.held, target));
    const Mode wanted = r.demand.want->mode;
    r.demand.want.reset();
    if (!cached && r.lvb.version < r.floor) {
        r.lvb.valid = false;             // deaths that overlapped have lost what was seen before
        r.lvb.version = r.floor;
    }
    r.demand.used = target;
    events_.push_back({LockEvent::Kind::granted, make_handle_of(r), wanted, {}});
    touch(r);           // others may wait for what is in use now
}

void LocksCore::refuse(Resource& r, Refusal why, Instant now) {
    if (r.phase != Phase::none) set_phase(r, Phase::none, now);
    r.demand.want.reset();
    ++counters_.refusals;
    events_.push_back({LockEvent::Kind::refused, make_handle_of(r), Mode::NL, why});
}

}  // namespace sdlm::locks
