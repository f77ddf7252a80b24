// SPDX-License-Identifier: LGPL-2.1-or-later
// Lock value blocks: which value is current, who carries it, what a death does to it (I6). see locks/PROTOCOL.md §6
#include <algorithm>

#include "disk/base/assert.hpp"
#include "disk/base/canary.hpp"
#include "disk/base/limits.hpp"
#include "locks/core/locks_core.hpp"
#include "locks/core/mode.hpp"

namespace sdlm::locks {

namespace {
// The newer version counts; of one version a copy marked not valid counts, since its writer knew of a death that the
// other did not.
bool newer(const Lvb& a, const Lvb& b) {
    return a.version > b.version || (a.version == b.version && a.version > 0 && !a.valid && b.valid);
}
}  // namespace

void LocksCore::see_version(Resource& r, std::uint64_t version) {
    if (version <= r.version_seen) return;
    r.version_seen = version;
    r.version_seen_at = ++ordinal_;
}

void LocksCore::image_seen(NodeIndex node, std::uint64_t clock) {
    if (clock <= clock_of_[node]) return;
    clock_of_[node] = clock;
    for (ResourceIndex index : pending_) {
        Resource& r = table_[index];
        const bool shown = std::any_of(r.peers.begin(), r.peers.end(), [&](const PeerRecord& peer) {
            return peer.node == node && counts(peer) && peer.record.lvb.version > 0;
        });
        if (!shown) r.changed_read = read_;
    }
}

void LocksCore::write_lvb(Handle handle, std::span<const std::byte> value, bool valid) {
    Resource& r = at(handle);
    SDLM_ASSERT(writes_lvb(r.demand.used));
    SDLM_ASSERT(value.size() <= limits::lvb_bytes_max);
    // For the clients of this node; lower() gives the published version, when the clock that all slots show may move.
    if (!r.lvb_dirty) r.lvb.version = clock_ + 1;
    r.lvb_dirty = true;
    r.lvb.valid = valid;
    r.lvb.length = static_cast<std::uint8_t>(value.size());
    r.lvb.bytes = {};
    std::copy(value.begin(), value.end(), r.lvb.bytes.begin());
}

void LocksCore::scan_lvb(const LockRecord& record, Scan& s) const {
    if (record.interest || record.held != Mode::NL || record.phase != Phase::none) s.interest = true;
    if (record.lvb.version == 0) return;
    if (!record.orphan_lvb) s.kept = std::max(s.kept, record.lvb.version);
    s.oldest = s.oldest == 0 ? record.lvb.version : std::min(s.oldest, record.lvb.version);
    if (newer(record.lvb, s.best)) {
        s.best = record.lvb;
        s.best_orphan = record.orphan_lvb;
    } else if (record.lvb.version == s.best.version) {
        s.best_orphan = s.best_orphan && record.orphan_lvb;
    }
}

// A node died with this record. What it may have been writing is lost; what it carried goes to whoever needed the
// resource before. The others wait until all of those have said that they have published it.
void LocksCore::inherit(Resource& r, const LockRecord& dead, std::uint64_t death, const Ending& ending) {
    // A try may have been granted, unless somebody held against it all the time: a release would have been published
    // before the try could win, and nobody gets a conflicting mode past a try before its node's end.
    bool may_be_granted = dead.phase == Phase::trying && compatible(r.held, dead.want);
    std::uint64_t elsewhere = r.carried.version;      // newest version that outlives it
    for (const PeerRecord& peer : r.peers) {
        if (!counts(peer) || &peer.record == &dead) continue;
        if (ending.witnesses.test(peer.node) && conflicts(peer.record.held, dead.want)) may_be_granted = false;
        elsewhere = std::max(elsewhere, peer.record.lvb.version);
    }
    const bool writing = writes_lvb(dead.held) || (may_be_granted && writes_lvb(dead.want));
    const bool spoiled = writing || ending.how == End::dead_inexact;
    if (!spoiled && dead.lvb.version == 0) return;
    // It died without having said what an earlier death meant for this value.
    const bool outdated = ending.unanswered != 0 && std::max(r.death, inexact_death_) >= ending.unanswered;
    r.death = r.unsettled = death;
    unsettled_.push_back(r.self);
    touch(r);
    // A need that others could not know of yet inherits nothing: they may have let go of a newer value.
    if (!r.needs() || r.stake_write == 0 || view_max_ < r.stake_write) {
        // ... but what it still carries for others is spoiled or outdated like everybody's.
        if (r.carried.version > 0 && (spoiled || newer(dead.lvb, r.carried))) {
            r.carried.valid = false;
            mark(r, Urgency::urgent, Instant{});
        }
        return;
    }
    if (!SDLM_CANARY(9) && (spoiled || (outdated && dead.lvb.version > elsewhere))) r.suspect_at = death;
    if (outdated || !newer(dead.lvb, r.carried)) return;
    const Scan s = scan(r);
    if (newer(s.best, dead.lvb)) return;
    r.carried = dead.lvb;
    mark(r, Urgency::urgent, Instant{});
}

// The slot has seen another death before everybody answered the first; whoever answers the second has seen both.
void LocksCore::death_follows(std::uint64_t earlier, std::uint64_t later) {
    for (ResourceIndex index : unsettled_) {
        Resource& r = table_[index];
        if (r.unsettled == earlier) r.unsettled = r.death = later;
    }
    if (inexact_death_ == earlier) inexact_death_ = later;
}

void LocksCore::death_settled(std::uint64_t death) {
    std::erase_if(unsettled_, [&](ResourceIndex index) {
        Resource& r = table_[index];
        if (r.unsettled == death) r.unsettled = 0;
        if (r.unsettled != 0) return false;
        touch(r);
        return true;
    });
}

// Sets the client's view of the value: the newest that anybody carries, with what deaths did to it.
void LocksCore::learn_lvb(Resource& r, const Scan& s) {
    if (r.lvb_dirty) return;
    Lvb best = r.lapsed || newer(s.best, r.carried) ? s.best : r.carried;
    // What was seen under a mode that is still held never goes back: whoever else let go of it, and while a replica is
    // being read anew.
    if (r.held != Mode::NL && newer(r.lvb, best)) best = r.lvb;
    if (r.suspect_at > r.version_seen_at) {
        // The last writer died: nobody knows its value. Version 1 carries the mark where nothing was written before.
        best.valid = false;
        if (best.version == 0) best.version = 1;
    }
    r.lvb = best;
}

// A value lives as long as somebody needs it. This node did not for a while, and needs it again before it has let go of it.
void LocksCore::end_lapse(Resource& r, const Scan& s, Instant now) {
    const bool known = r.stake_write != 0 && view_ >= r.stake_write && r.unsettled == 0;
    if (!known && r.carried.version > 0) return list(r);
    r.lapsed = false;
    touch(r);
    const bool last = s.oldest == 0 || s.oldest >= r.carried.version;      // else an older copy would come back
    if (r.carried.version == 0 || s.interest || !last) return;
    r.carried = r.lvb = Lvb{};
    r.floor = 0;
    r.flag_write = 0;                        // a grant waits until the others can see that it is gone
    mark(r, Urgency::urgent, now);
}

// The own record's part in keeping the value: adopt what has no keeper, drop what is out of date, publish invalid
// marks.
void LocksCore::keep_lvb(Resource& r, const Scan& s, Instant now) {
    r.adopting = false;
    if (!r.needs()) r.suspect_at = r.floor = 0;  // whoever needs it has seen the death, too
    // Keepers that can see this need hand on what they carry, whatever happens to them.
    if (r.needs() && r.stake_write != 0 && view_ >= r.stake_write)
        r.floor = std::max({r.floor, s.kept, r.carried.version});
    if (r.lapsed && r.needs()) end_lapse(r, s, now);
    if (r.needs() && r.lvb_dirty && s.best.version > 0 && s.best_orphan && newer(s.best, r.carried)) {
        // It is older than what is being written here, but until that is published others may read it.
        r.carried = s.best;
        see_version(r, r.carried.version);
        mark(r, Urgency::urgent, now);
    }
    if (r.needs() && !r.lvb_dirty) {
        learn_lvb(r, s);
        // Only by a view that was read after the own need was shown: its owner then keeps it until it is adopted. An
        // older view may show what others have already dropped, or written anew and dropped.
        const bool known = r.stake_write != 0 && view_ >= r.stake_write && r.unsettled == 0;
        const bool offered = s.best.version > 0 && s.best_orphan && newer(s.best, r.carried);
        const bool orphaned = known && offered;
        r.adopting = offered && !known;
        if (r.adopting) list(r);                 // looked at again with every view
        const bool estate = r.lvb.version > 0 && newer(r.lvb, s.best) && newer(r.lvb, r.carried);
        if (orphaned || estate) {
            r.carried = r.lvb;
            see_version(r, r.carried.version);
            mark(r, Urgency::urgent, now);
        }
    }
    // The mark must outlive the node that set it first.
    const bool marked = s.best.version == r.carried.version && !s.best.valid;
    if (r.carried.version > 0 && r.carried.valid && marked) {
        r.carried.valid = false;
        mark(r, Urgency::urgent, now);
    }
    if (r.carried.version > 0 && s.best.version > r.carried.version) {
        r.carried = Lvb{};   // a strictly newer value exists; equal copies are never dropped (both would)
        mark(r, Urgency::lazy, now);
    }
    if (r.orphan()) {
        const bool adopted =
            s.best.version > 0 && !newer(r.carried, s.best) && !s.best_orphan;   // with the mark, if it has one
        const bool seen = r.flag_write != 0 && view_ >= r.flag_write;
        // Older copies must go first, or one of them would be taken for the newest.
        // A dead node's copy is gone for others only when they have seen its end.
        const bool last = (s.oldest == 0 || s.oldest >= r.carried.version) && r.unsettled == 0;
        if (seen && (adopted || (!s.interest && last))) {
            r.carried = Lvb{};
            r.lapsed = false;
            mark(r, Urgency::soon, now);
        } else {
            list(r);
        }
    }
}

}  // namespace sdlm::locks
