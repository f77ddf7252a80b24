// SPDX-License-Identifier: LGPL-2.1-or-later
// The own slot: choosing, claiming, keeping and leaving it. see heartbeat/PROTOCOL.md §3
#include <algorithm>
#include <cstdio>

#include "disk/base/assert.hpp"
#include "disk/base/canary.hpp"
#include "heartbeat/membership.hpp"

namespace sdlm::heartbeat {

using disk::PreviousEnd;
using disk::SlotState;

namespace {
std::string slot_name(NodeIndex node) { return "slot " + std::to_string(node); }
std::string seconds(Duration d) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f s", static_cast<double>(d.ns) / 1e9);
    return text;
}
PreviousEnd end_of(const Peer& peer) {
    switch (peer.ended) {
        case EndedBy::none: return PreviousEnd::gone;
        case EndedBy::left: return PreviousEnd::left;
        case EndedBy::fenced: return PreviousEnd::fenced;
        case EndedBy::evicted:
        case EndedBy::replaced: return PreviousEnd::evicted;
    }
    SDLM_UNREACHABLE();
}
}  // namespace

void Membership::start(Instant now) {
    SDLM_ASSERT(own_ == Own::idle);
    own_ = Own::choosing;
    chosen_since_ = now;
    if (config_.requested && *config_.requested >= config_.slot_count)
        fail(Errc::bad_argument, "node " + std::to_string(*config_.requested) + ": this volume has node slots 0 to " +
                                     std::to_string(config_.slot_count - 1) + " only; choose one of them with --node");
}

Membership::Claimable Membership::claimable(NodeIndex node, Instant submitted) const {
    const Peer& peer = peers_[node];
    if (peer.damaged && !(peer.known && peer.ended == EndedBy::none))
        return peer.ignored && past_known_ ? Claimable::yes : Claimable::wait;
    // A claim hides the last image of a life: everybody alive gets the time of one read to see it.
    if (peer.known && peer.header.state == SlotState::fenced &&
        submitted - peer.changed_at < config_.timing.heartbeat &&
        std::any_of(peers_.begin(), peers_.end(), [](const Peer& other) { return other.followed() && !other.proven_dead(); }))
        return Claimable::wait;
    if (!peer.known || peer.ended != EndedBy::none) return Claimable::yes;
    if (peer.proven_dead()) return Claimable::wait;
    // An own claim that came too late is no exception: it may lie over a live node's image, which that node is about to
    // restore.
    // Its own host's life of an earlier boot is over, but only if that is what the slot still shows.
    if (!peer.damaged && peer.header.host == config_.host && peer.header.boot != config_.boot) return Claimable::yes;
    if (peer.changes > 0) return Claimable::no;
    return Claimable::wait;
}

int Membership::preference(NodeIndex node) const {
    const Peer& peer = peers_[node];
    if (peer.known && peer.header.host == config_.host) return 0;
    if (!peer.known && !peer.damaged) return 1;
    return peer.damaged ? 3 : 2;
}

void Membership::choose(Instant submitted, Instant completed) {
    // A claim based on an old read could overwrite a life that began since.
    if (completed - submitted >= config_.timing.io_timeout) return;
    if (config_.requested) {
        const NodeIndex node = *config_.requested;
        switch (claimable(node, submitted)) {
            case Claimable::yes: return begin_claim(node, submitted);
            case Claimable::no:
                return fail(Errc::busy, slot_name(node) + " is taken: host " + to_string(peers_[node].header.host) +
                                            " is alive in it (its heartbeat changed while this node watched); "
                                            "choose another number with --node, or stop that node");
            case Claimable::wait: break;
        }
        if (completed - waiting_warned_ > config_.timing.dead()) {
            waiting_warned_ = completed;
            warn(slot_name(node) + " shows signs of another life; waiting up to " + seconds(config_.timing.dead()) +
                 " to be sure that it is over");
        }
        return;
    }
    NodeIndex best = no_node;
    bool waiting = false;
    for (NodeIndex node = 0; node < peers_.size(); ++node) {
        const Claimable answer = claimable(node, submitted);
        waiting = waiting || answer == Claimable::wait;
        if (answer == Claimable::yes && (best == no_node || preference(node) < preference(best))) best = node;
    }
    if (best != no_node) return begin_claim(best, submitted);
    if (!waiting)
        fail(Errc::no_space, "all " + std::to_string(peers_.size()) +
                                 " node slots of the volume are taken by live nodes; stop one, or format with more "
                                 "slots (mkfs.sdlm -N)");
}

void Membership::begin_claim(NodeIndex node, Instant submitted) {
    Peer& peer = peers_[node];
    previous_ = peer.known ? peer.header : disk::SlotHeader{};
    previous_end_ = peer.known ? end_of(peer) : PreviousEnd::none;
    if (peer.known && peer.ended == EndedBy::none) end(node, EndedBy::replaced, peer.header.sequence);
    if (peer.ended == EndedBy::evicted || peer.ended == EndedBy::replaced) previous_.sequence = peer.ended_sequence;
    node_ = node;
    generation_known(node, previous_.incarnation.generation);
    // What a damaged slot has seen nobody may know any more. No decision rests on this time of day: it only makes it
    // unlikely that a generation comes again.
    if (!peer.known && peer.damaged)
        generation_known(node, config_.started_unix * 1000 + static_cast<std::uint64_t>((submitted - chosen_since_).ms()));
    incarnation_.generation = generations_[node] + 1;
    do incarnation_.nonce = prng_.next();
    while (incarnation_.nonce == 0);
    own_ = Own::claiming;
    sequence_ = written_sequence_ = 0;
    write_wanted_ = true;
    claim_written_ = settled_ = live_submitted_ = false;
    settled_at_ = never;
    claim_read_submitted_ = submitted;
}

// A claim is trusted only after everybody who saw the slot claimable before it has either written or given up:
// nobody writes a claim later than io_timeout after the read that it is based on.
void Membership::settle(Instant submitted, const Sight& sight) {
    if (!claim_written_) return;
    const bool mine = sight.header && sight.header->incarnation == incarnation_;
    own_slot_good_ = mine;
    if (mine) {
        if (submitted >= settled_at_) settled_ = true;
        return;
    }
    if (!sight.header && submitted < settled_at_) return;       // unreadable for the moment: decide at the end
    if (config_.requested) {
        return fail(Errc::busy, slot_name(node_) +
                                    " was claimed by another host at the same time; choose another number with --node");
    }
    warn(slot_name(node_) + " was claimed by another host at the same time; choosing again");
    peers_[node_] = Peer{};
    node_ = no_node;
    own_ = Own::choosing;
}

void Membership::see_own(std::uint64_t own_written, const Sight& sight) {
    own_slot_good_ = sight.header && sight.header->incarnation == incarnation_ && sight.header->sequence >= own_written;
    if (own_slot_good_) return;
    if (sight.header && sight.header->incarnation != incarnation_ && !sight.header->incarnation.none()) {
        const disk::SlotHeader& other = *sight.header;
        if (other.previous == incarnation_ && other.previous_end != PreviousEnd::none)
            return lose(slot_name(node_) + " was taken over by host " + to_string(other.host) +
                        ", which found this node dead");
        const bool runs = other.state == SlotState::live || other.state == SlotState::leaving;
        if (runs && other.incarnation > incarnation_)
            return lose(slot_name(node_) + " is also used by host " + to_string(other.host) +
                        ": two nodes have the number " + std::to_string(node_) + "; give each node its own");
        warn(slot_name(node_) + ": overwritten by host " + to_string(other.host) + "; written again");
    } else {
        warn(slot_name(node_) + ": own heartbeat block " +
             (sight.header ? std::string("shows an older state") : describe(sight.header.error())) + "; written again");
    }
    ++defended_;
    write_wanted_ = true;
}

Instant Membership::write_due() const {
    switch (own_) {
        case Own::claiming:
            if (write_wanted_ || (settled_ && ready_ && !live_submitted_)) return Instant{};
            return settled_ ? last_submit_ + config_.timing.heartbeat : never;
        case Own::live:
        case Own::leaving:
            if (write_wanted_ || left_wanted_) return Instant{};
            return last_submit_ + config_.timing.heartbeat;
        case Own::fencing: return fenced_wanted_ ? Instant{} : never;
        default: return never;
    }
}

Instant Membership::read_due(Instant last_read) const {
    const Duration beat = config_.timing.heartbeat;
    switch (own_) {
        case Own::choosing: return reads_ == 0 ? Instant{} : last_read + beat / 4;
        case Own::claiming:
            if (claim_written_ && !settled_)
                return last_read < settled_at_ ? earlier(settled_at_, last_read + beat / 2) : last_read + beat / 4;
            return last_read + beat / 4;
        case Own::live:
        case Own::leaving: return last_read + beat;
        default: return never;
    }
}

void Membership::fill(disk::SlotHeader& header) {
    header.node = node_;
    header.incarnation = incarnation_;
    header.sequence = ++sequence_;
    header.host = config_.host;
    header.boot = config_.boot;
    header.previous = previous_.incarnation;
    header.previous_end = previous_end_;
    header.previous_sequence = previous_.sequence;
    switch (own_) {
        case Own::claiming:
            live_submitted_ = settled_ && ready_;
            live_read_submitted_ = read_submitted_;
            header.state = live_submitted_ ? SlotState::live : SlotState::claiming;
            break;
        case Own::live: header.state = SlotState::live; break;
        case Own::leaving:
            left_submitted_ = left_wanted_;
            header.state = left_submitted_ ? SlotState::left : SlotState::leaving;
            break;
        case Own::fencing:
            fenced_submitted_ = true;
            header.state = SlotState::fenced;
            break;
        default: SDLM_UNREACHABLE();
    }
}

void Membership::write_submitted(Instant now) {
    last_submit_ = now;
    write_wanted_ = false;
}

void Membership::write_completed(Instant now, Instant submitted, std::uint64_t sequence) {
    written_sequence_ = sequence;
    switch (own_) {
        case Own::claiming:
            tick(now);
            if (own_ != Own::claiming) return;
            if (live_submitted_) {
                if (now >= submitted + config_.timing.lease)
                    return lose("the first heartbeat took longer than the lease");
                // Another claim may have begun since, which did not see this node alive: look again. Every claim waits
                // for longer than this before the read that it goes live on, so of two claims at least one sees the
                // other live.
                if (now - live_read_submitted_ > config_.timing.io_timeout) {
                    live_submitted_ = ready_ = false;
                    lease_end_ = submitted + config_.timing.lease;
                    return;
                }
                own_ = Own::live;
                own_slot_good_ = true;
                lease_end_ = submitted + config_.timing.lease;
            } else if (!claim_written_) {
                if (now - claim_read_submitted_ > config_.timing.io_timeout) {
                    warn(slot_name(node_) + ": the claim took longer than io_timeout (" +
                         seconds(config_.timing.io_timeout) + "); trying again");
                    node_ = no_node;
                    own_ = Own::choosing;
                    return;
                }
                claim_written_ = true;
                lease_end_ = submitted + config_.timing.lease;
                settled_at_ = SDLM_CANARY(10) ? now : now + config_.timing.io_timeout * drift_num / drift_den;
            } else {
                lease_end_ = submitted + config_.timing.lease;
            }
            return;
        case Own::live:
        case Own::leaving:
            tick(now);                                  // expiry is sticky: a late completion revives nothing
            if (own_ == Own::lost) return;
            lease_end_ = submitted + config_.timing.lease * (SDLM_CANARY(3) ? 2 : 1);
            if (left_submitted_) own_ = Own::left;
            return;
        case Own::fencing:
            tick(now);
            if (own_ == Own::fencing && fenced_submitted_) own_ = Own::fenced;
            return;
        default: return;
    }
}

void Membership::write_failed(Instant now) {
    if (own_ == Own::claiming && !claim_written_) {
        if (now - claim_read_submitted_ < config_.timing.io_timeout) {
            write_wanted_ = true;
            return;
        }
        node_ = no_node;
        own_ = Own::choosing;
        return;
    }
    live_submitted_ = false;
    left_submitted_ = false;
    fenced_submitted_ = false;
    write_wanted_ = true;
}

void Membership::tick(Instant now) {
    // A claim must be kept alive like a life: others may have judged it dead, and that must stay true.
    if (own_ == Own::claiming && claim_written_ && now >= lease_end_) {
        warn(slot_name(node_) + ": the claim was not renewed within " + seconds(config_.timing.lease) +
             "; trying again");
        node_ = no_node;
        own_ = Own::choosing;
        return;
    }
    if (own_ == Own::fencing && now >= lease_end_) return lose(reason_ + "; the lease ended before the slot said so");
    if ((own_ == Own::live || own_ == Own::leaving) && now >= lease_end_)
        lose("lease expired: no heartbeat write completed within " + seconds(config_.timing.lease));
}

void Membership::leave() {
    if (own_ == Own::live) {
        own_ = Own::leaving;
    } else if (own_ == Own::claiming && settled_) {
        own_ = Own::leaving;                            // the slot is ours: say `left`, or the next start has to wait
        lease_end_ = last_submit_ + config_.timing.lease;
        left_wanted_ = true;
    } else if (own_ == Own::choosing || own_ == Own::claiming || own_ == Own::idle) {
        own_ = Own::left;
    }
    write_wanted_ = own_ == Own::leaving;
}

void Membership::begin_fence(std::string reason) {
    if (own_ != Own::live && own_ != Own::leaving) return;
    own_ = Own::fencing;
    reason_ = std::move(reason);
    error_ = Error{.code = Errc::fenced};
    fenced_wanted_ = SDLM_CANARY(12);
}

void Membership::clients_stopped() { fenced_wanted_ = own_ == Own::fencing; }

void Membership::leave_ready() { left_wanted_ = own_ == Own::leaving; }

void Membership::lose(std::string reason) {
    if (own_ == Own::lost || own_ == Own::left || own_ == Own::failed || own_ == Own::fenced) return;
    own_ = Own::lost;
    reason_ = std::move(reason);
    error_ = Error{.code = Errc::fenced};
}

void Membership::fail(Errc code, std::string reason) {
    own_ = Own::failed;
    reason_ = std::move(reason);
    error_ = Error{.code = code, .field = "node"};
}

}  // namespace sdlm::heartbeat
