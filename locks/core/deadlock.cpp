// SPDX-License-Identifier: LGPL-2.1-or-later
// Deadlocks over several resources and nodes: wants are the vertices of a graph of waits that every node sees in the
// records. A want waits for what the holders of its resource wait for, as their nodes say (`waits_for`), and for the
// wants before it in the line. Each node looks for cycles through its own wants; the youngest want of a cycle gives up.
// see locks/PROTOCOL.md §8
#include <algorithm>
#include <set>

#include "disk/base/assert.hpp"
#include "locks/core/locks_core.hpp"
#include "locks/core/mode.hpp"

namespace sdlm::locks {

namespace {
constexpr unsigned node_bits = 8;             // of a tag; limits::slots_max fits
constexpr std::size_t visited_max = 4096;     // wants looked at for one own want
static_assert(limits::slots_max < (1U << node_bits));

// As LocksCore::before, for two records of anybody.
bool ahead(const LockRecord& a, NodeIndex a_node, const LockRecord& b, NodeIndex b_node) {
    if (a.convert != b.convert) return a.convert;
    if (a.ticket != b.ticket) return a.ticket < b.ticket;
    return a_node < b_node;
}
}  // namespace

// Lamport's clock again: a want made after another one was seen is the younger of the two.
void LocksCore::begin_tag(Resource& r, Instant now) {
    if (r.demand.want->owner_tag == 0 || r.demand.want->noqueue) return;
    r.tag = ++tag_clock_ << node_bits | me_;
    r.cycle_at = never;
    ++own_tags_;
    tagged_[r.tag] = r.self;
    retag(r, now);
}

void LocksCore::end_tag(Resource& r, Instant now) {
    if (r.tag == 0) return;
    tagged_.erase(r.tag);
    r.tag = 0;
    r.cycle_at = never;
    --own_tags_;
    retag(r, now);
}

// Holders that wait for this want say so with its tag.
void LocksCore::retag(const Resource& changed, Instant now) {
    const Handle handle = make_handle_of(changed);
    for (ResourceIndex index : blockers_) {
        Resource& r = table_[index];
        const auto& on = r.demand.waits_on;
        if (r.open && std::find(on.begin(), on.end(), handle) != on.end()) mark(r, Urgency::urgent, now);
    }
}

void LocksCore::see_tags(Resource& r, const LockRecord* before, const LockRecord* after) {
    if (before != nullptr && before->owner_tag != 0) {
        const auto it = tagged_.find(before->owner_tag);
        if (it != tagged_.end() && it->second == r.self) tagged_.erase(it);
    }
    if (after == nullptr) return;
    if (after->owner_tag != 0) tagged_[after->owner_tag] = r.self;
    tag_clock_ = std::max(tag_clock_, after->owner_tag >> node_bits);
}

std::array<std::uint64_t, disk::waits_for_max> LocksCore::tags_waited_for(const Resource& r) const {
    std::array<std::uint64_t, disk::waits_for_max> tags{};
    std::size_t count = 0;
    for (Handle handle : r.demand.waits_on)
        if (handle != no_handle && alive(handle) && at(handle).tag != 0) tags[count++] = at(handle).tag;
    return tags;
}

// The wants that the want `tag` waits for; nothing when it is gone.
void LocksCore::waits_of(std::uint64_t tag, std::vector<Wait>& out) const {
    const auto found = tagged_.find(tag);
    if (found == tagged_.end()) return;
    const Resource& r = table_[found->second];
    const LockRecord own = make_record(r);
    const LockRecord* want = own.owner_tag == tag ? &own : nullptr;
    NodeIndex node = me_;
    for (const PeerRecord& peer : r.peers) {
        if (want != nullptr || !counts(peer) || peer.record.owner_tag != tag) continue;
        want = &peer.record;
        node = peer.node;
    }
    if (want == nullptr || want->phase == Phase::none) return;
    const auto add = [&](const LockRecord& other, NodeIndex other_node) {
        if (other_node == node) return;
        if (conflicts(other.held, want->want)) {
            for (std::uint64_t waited : other.waits_for)
                if (waited != 0) out.push_back({waited, other_node});
        }
        if (other.phase != Phase::none && other.owner_tag != 0 && conflicts(other.want, want->want) &&
            ahead(other, other_node, *want, node))
            out.push_back({other.owner_tag, other_node});
    };
    add(own, me_);
    for (const PeerRecord& peer : r.peers)
        if (counts(peer)) add(peer.record, peer.node);
}

// Depth first from an own want back to itself; `victim` is the youngest want on the way that is not spared.
bool LocksCore::closes_cycle(const Resource& r, Wait& victim) const {
    struct Step {
        Wait want;
        std::vector<Wait> waits;
        std::size_t next = 0;
    };
    std::set<std::uint64_t> visited;
    std::vector<Step> path;
    const auto enter = [&](std::uint64_t tag, NodeIndex node) {
        Step step{.want = {tag, node}, .waits = {}};
        waits_of(tag, step.waits);
        const auto found = tagged_.find(tag);
        if (found != tagged_.end()) {
            const Resource& at = table_[found->second];
            if (at.tag == tag) step.want.spared = at.demand.want->spared;
            for (const PeerRecord& peer : at.peers)
                if (counts(peer) && peer.record.owner_tag == tag) step.want.spared = peer.record.spared;
        }
        path.push_back(std::move(step));
    };
    enter(r.tag, me_);
    while (!path.empty()) {
        Step& step = path.back();
        if (step.next == step.waits.size()) {
            path.pop_back();
            continue;
        }
        const Wait next = step.waits[step.next++];
        if (next.tag == r.tag) {
            victim = {};
            for (const Step& on : path)
                if (!on.want.spared && on.want.tag > victim.tag) victim = on.want;
            return victim.tag != 0;
        }
        if (visited.size() < visited_max && visited.insert(next.tag).second) enter(next.tag, next.node);
    }
    return false;
}

// A cycle counts when it is still there half a heartbeat after it was first seen: records of different nodes are of
// different times.
void LocksCore::search_deadlocks(Instant now) {
    searched_at_ = now;
    for (std::size_t i = 0; i < pending_.size(); ++i) {
        Resource& r = table_[pending_[i]];
        if (r.tag == 0 || r.phase == Phase::none) continue;
        Wait victim;
        if (r.flag_write == 0 || view_ < r.flag_write || !closes_cycle(r, victim) || victim.tag != r.tag) {
            r.cycle_at = never;
        } else if (r.cycle_at == never) {
            r.cycle_at = now;
        } else if (now - r.cycle_at >= timing_.heartbeat / 2) {
            refuse(r, Refusal::deadlock, now);
            touch(r);
        }
    }
}

}  // namespace sdlm::locks
