// SPDX-License-Identifier: LGPL-2.1-or-later
// Watching the other slots. The own slot: own_slot.cpp.
#include "heartbeat/membership.hpp"

#include <algorithm>

#include "disk/base/assert.hpp"
#include "disk/base/canary.hpp"

namespace sdlm::heartbeat {

using disk::SlotState;

namespace {
bool lives(SlotState state) {
    return state == SlotState::claiming || state == SlotState::live || state == SlotState::leaving;
}
// A life that is followed has an end that is still to be published.
bool open_end(SlotState state) { return lives(state) || state == SlotState::fenced; }
// Tells unattested lives apart, as digests tell damaged images apart.
std::uint32_t digest_of(const disk::SlotHeader& header, std::uint64_t sequence = 0) {
    const std::uint64_t mixed = header.incarnation.nonce * 31 + header.incarnation.generation * 7 + sequence;
    return static_cast<std::uint32_t>(mixed ^ (mixed >> 32));
}
}  // namespace

Membership::Membership(const MembershipConfig& config)
    : config_(config), prng_(config.nonce_seed), peers_(config.slot_count), generations_(config.slot_count) {}

void Membership::slots_read(Instant submitted, Instant completed, std::uint64_t own_written,
                            const std::vector<Sight>& sights) {
    SDLM_ASSERT(sights.size() == peers_.size());
    if (own_ == Own::idle || own_ == Own::left || own_ == Own::lost || own_ == Own::failed || own_ == Own::fenced)
        return;
    ++reads_;
    read_submitted_ = submitted;
    for (NodeIndex node = 0; node < peers_.size(); ++node)
        if (node != node_) see_peer(node, submitted, completed, sights[node]);
    if (own_ == Own::choosing) choose(submitted, completed);
    else if (own_ == Own::claiming) settle(submitted, sights[node_]);
    else see_own(own_written, sights[node_]);
}

void Membership::see_peer(NodeIndex node, Instant submitted, Instant completed, const Sight& sight) {
    Peer& peer = peers_[node];
    peer.current = false;
    if (!sight.header) {
        see_damage(node, submitted, completed, sight);
        return judge(node, submitted);
    }
    const disk::SlotHeader& header = *sight.header;
    generation_known(node, header.incarnation.generation);
    const bool following = peer.followed();
    if (peer.known && header.incarnation == peer.header.incarnation) {
        const bool older = following && header.sequence < peer.header.sequence;
        if (!older) {
            peer.damaged = false;
            peer.error.reset();
        }
        if (!following) {
            if (header.sequence > peer.ended_sequence && header.sequence > peer.header.sequence) {
                ++zombies_;                       // a late write of the dead: never looked at (I7)
                peer.header.sequence = header.sequence;
            }
            return;
        }
        if (older) {                                     // a late write of its own, or a damaged disk
            see_damage(node, submitted, completed,
                       Sight{Error{.code = Errc::stale, .field = "sequence"}, digest_of(header, header.sequence)});
            return judge(node, submitted);
        }
        if (header.sequence > peer.header.sequence) {
            peer.header = header;
            peer.changed_at = completed;
            ++peer.changes;
        }
        peer.current = true;
        if (header.state == SlotState::left) return end(node, EndedBy::left, header.sequence);
        return judge(node, submitted);
    }
    if (following) {
        const bool attested =
            header.previous == peer.header.incarnation && header.previous_end != disk::PreviousEnd::none;
        // A claim that lost to another one: whoever is live has read its own claim back, so the other one never was.
        const bool lost_race = peer.header.state == SlotState::claiming && header.state != SlotState::claiming &&
                               header.state != SlotState::free;
        if (!attested && !lost_race) {
            // Wiped, or a claim by somebody who does not know of this life: its records keep counting until it is
            // judged dead.
            see_damage(node, submitted, completed,
                       Sight{Error{.code = Errc::busy, .field = "incarnation"}, digest_of(header)});
            return judge(node, submitted);
        }
        const bool clean = header.previous_end == disk::PreviousEnd::left;
        if (lost_race) end(node, EndedBy::left, peer.header.sequence);
        else end(node, clean ? EndedBy::left : EndedBy::replaced, header.previous_sequence);
    } else if (peer.known && header.incarnation.generation < peer.header.incarnation.generation &&
               !counted_again(peer, submitted, completed, header)) {
        // An image from before the life that has ended: who lives here now cannot be seen.
        return see_damage(node, submitted, completed,
                          Sight{Error{.code = Errc::stale, .field = "generation"}, digest_of(header, header.sequence)});
    }
    see_life(node, completed, header);
}

// Generations begin again when a damaged slot is claimed. Late writes of an earlier life end within io_timeout; whoever
// still writes after that is alive.
bool Membership::counted_again(Peer& peer, Instant submitted, Instant completed, const disk::SlotHeader& header) const {
    if (peer.odd != header.incarnation) {
        peer.odd = header.incarnation;
        peer.odd_sequence = header.sequence;
        peer.odd_since = completed;
    }
    return header.sequence > peer.odd_sequence &&
           submitted - peer.odd_since > config_.timing.io_timeout * drift_num / drift_den;
}

void Membership::generation_known(NodeIndex node, std::uint64_t generation) {
    if (node < generations_.size()) generations_[node] = std::max(generations_[node], generation);
}

void Membership::see_life(NodeIndex node, Instant completed, const disk::SlotHeader& header) {
    Peer& peer = peers_[node];
    peer = Peer{};
    if (header.state == SlotState::free || header.incarnation.none()) return;
    peer.known = true;
    peer.header = header;
    peer.changed_at = completed;
    peer.current = true;
    if (header.state == SlotState::left) peer.ended = EndedBy::left;
    if (header.state == SlotState::fenced) peer.ended = EndedBy::fenced;
    peer.ended_sequence = header.sequence;
    if (lives(header.state))
        events_.push_back({PeerEvent::Kind::appeared, node, header.incarnation, EndedBy::none, header.sequence});
}

void Membership::see_damage(NodeIndex node, Instant submitted, Instant completed, const Sight& sight) {
    Peer& peer = peers_[node];
    if (!peer.damaged || peer.digest != sight.digest) {
        if (!peer.damaged) warn("slot " + std::to_string(node) + ": " + describe(sight.header.error()));
        peer.damaged = true;
        peer.ignored = false;
        peer.digest = sight.digest;
        peer.damaged_since = completed;
    }
    peer.error = sight.header.error();
    if (peer.followed()) return;
    if (submitted - peer.damaged_since >= config_.timing.dead()) peer.ignored = true;
}

// Two own reads, at least dead() apart, that show one sequence: its lease and its time to stop are over. An image that
// cannot be followed counts from its own first sight: the node may have renewed its lease unseen before.
void Membership::judge(NodeIndex node, Instant submitted) {
    Peer& peer = peers_[node];
    if (!peer.known || peer.ended != EndedBy::none || peer.evict_wanted || !open_end(peer.header.state)) return;
    const Duration dead = SDLM_CANARY(2) ? config_.timing.lease / 2 : config_.timing.dead();
    const Instant since = peer.damaged ? std::max(peer.changed_at, peer.damaged_since) : peer.changed_at;
    if (submitted - since < dead) return;
    condemn(node);
}

void Membership::condemn(NodeIndex node) {
    Peer& peer = peers_[node];
    peer.evict_wanted = true;
    events_.push_back({PeerEvent::Kind::evict, node, peer.header.incarnation, EndedBy::evicted, peer.header.sequence});
}

void Membership::last_image_known(NodeIndex node) {
    const Peer& peer = peers_[node];
    if (peer.proven_dead() && !peer.damaged && !peer.evict_wanted) condemn(node);
}

Result<void> Membership::declare_dead(NodeIndex node, Instant now) {
    if (node >= peers_.size() || node == node_ || !peers_[node].followed())
        return Error{.code = Errc::not_found, .field = "node"};
    const Peer& peer = peers_[node];
    if (now - peer.changed_at < config_.timing.quiet()) return Error{.code = Errc::busy, .field = "node"};
    if (!peer.evict_wanted) condemn(node);
    return {};
}

void Membership::evict_published(NodeIndex node) {
    Peer& peer = peers_[node];
    if (!peer.evict_wanted || peer.ended != EndedBy::none) return;
    end(node, EndedBy::evicted, peer.header.sequence);
}

void Membership::fact(NodeIndex by, NodeIndex node, const Incarnation& incarnation, std::uint64_t sequence) {
    if (node >= peers_.size()) return;
    if (node == node_) {
        if (incarnation == incarnation_) lose("evicted by node " + std::to_string(by));
        return;
    }
    Peer& peer = peers_[node];
    if (peer.known && peer.ended == EndedBy::none && peer.header.incarnation == incarnation)
        end(node, EndedBy::evicted, sequence);
}

void Membership::end(NodeIndex node, EndedBy by, std::uint64_t sequence) {
    Peer& peer = peers_[node];
    peer.ended = by;
    peer.ended_sequence = sequence;
    const bool claim_only = peer.header.state == SlotState::claiming && sequence == peer.header.sequence;
    events_.push_back({PeerEvent::Kind::ended, node, peer.header.incarnation, by, sequence, claim_only, peer.damaged});
}

void Membership::warn(std::string text) {
    if (warnings_.size() < 64) warnings_.push_back(std::move(text));
}

}  // namespace sdlm::heartbeat
