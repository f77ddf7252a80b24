// SPDX-License-Identifier: LGPL-2.1-or-later
// The public face: checks of arguments and state, reports.
#include "locks/node/node_core.hpp"

#include <algorithm>
#include <array>

#include "disk/base/assert.hpp"
#include "locks/node/node_impl.hpp"

namespace sdlm::node {

using heartbeat::Own;

namespace {
NodeState state_of(Own own) {
    switch (own) {
        case Own::idle: return NodeState::idle;
        case Own::choosing: return NodeState::choosing;
        case Own::claiming: return NodeState::claiming;
        case Own::live: return NodeState::live;
        case Own::leaving: return NodeState::leaving;
        case Own::fencing: return NodeState::fencing;
        case Own::fenced: return NodeState::fenced;
        case Own::left: return NodeState::left;
        case Own::lost: return NodeState::lost;
        case Own::failed: return NodeState::failed;
    }
    SDLM_UNREACHABLE();
}
bool good_lockspace(const std::string& name) {
    if (name.empty() || name.size() > limits::lockspace_name_max) return false;
    return std::none_of(name.begin(), name.end(), [](char c) {
        return c == '/' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
}
}  // namespace

const char* text(NodeState state) noexcept {
    switch (state) {
        case NodeState::idle: return "idle";
        case NodeState::choosing: return "choosing";
        case NodeState::claiming: return "claiming";
        case NodeState::live: return "live";
        case NodeState::leaving: return "leaving";
        case NodeState::fencing: return "fencing";
        case NodeState::fenced: return "fenced";
        case NodeState::left: return "left";
        case NodeState::lost: return "lost";
        case NodeState::failed: return "failed";
    }
    return "?";
}

const char* text(PeerVerdict verdict) noexcept {
    switch (verdict) {
        case PeerVerdict::absent: return "absent";
        case PeerVerdict::claiming: return "claiming";
        case PeerVerdict::live: return "live";
        case PeerVerdict::late: return "late";
        case PeerVerdict::dead: return "dead";
        case PeerVerdict::left: return "left";
        case PeerVerdict::fenced: return "fenced";
        case PeerVerdict::damaged: return "damaged";
    }
    return "?";
}

void Output::clear() {
    reads.clear();
    writes.clear();
    events.clear();
    wake = never;
}

NodeCore::NodeCore(const disk::Superblock& superblock, const heartbeat::Timing& timing, Identity identity)
    : impl_(std::make_unique<Impl>(superblock, timing, std::move(identity))) {}
NodeCore::~NodeCore() = default;

void NodeCore::start(Instant now) {
    impl_->now = now;
    impl_->started = true;
    impl_->member.start(now);
}
void NodeCore::leave(Instant now) { impl_->leave(now); }
void NodeCore::read_done(Instant now, IoId id, Result<std::span<const std::byte>> result) {
    impl_->read_done(now, id, std::move(result));
}
void NodeCore::write_done(Instant now, IoId id, Result<void> result) { impl_->write_done(now, id, std::move(result)); }
void NodeCore::pump(Instant now, Output& out) { impl_->pump(now, out); }

Result<void> NodeCore::join(const std::string& lockspace, locks::LockEvents& events) {
    Impl& im = *impl_;
    if (!good_lockspace(lockspace)) return Error{.code = Errc::bad_argument, .field = "lockspace"};
    if (im.lost()) return Error{.code = Errc::fenced};
    if (im.member.own() != Own::live) return Error{.code = Errc::not_found, .field = "node"};
    if (im.lockspaces.contains(lockspace)) return Error{.code = Errc::exists, .field = "lockspace"};
    Impl::Lockspace& entry = im.lockspaces[lockspace];
    entry.events = &events;
    im.log_record(entry.entry, disk::MemberEntry{lockspace, {}}, Impl::Record::stays);
    return {};
}

void NodeCore::leave(const std::string& lockspace) {
    Impl& im = *impl_;
    const auto found = im.lockspaces.find(lockspace);
    if (found == im.lockspaces.end()) return;
    im.log_record(found->second.entry, disk::MemberEntry{lockspace, {.left = true}}, Impl::Record::goes);
    im.lockspaces.erase(found);
}

Result<locks::Handle> NodeCore::open(const disk::ResourceKey& key) {
    Impl& im = *impl_;
    if (im.lost()) return Error{.code = Errc::fenced};
    const auto found = im.lockspaces.find(key.lockspace);
    if (found == im.lockspaces.end()) return Error{.code = Errc::bad_argument, .field = "lockspace"};
    return im.locks.open(key, *found->second.events);
}

void NodeCore::close(locks::Handle handle) {
    if (impl_->live() && impl_->locks.alive(handle)) impl_->locks.close(handle, impl_->now);
}
void NodeCore::set_demand(locks::Handle handle, const locks::Demand& demand) {
    if (impl_->live() && impl_->locks.alive(handle)) impl_->locks.set_demand(handle, demand, impl_->now);
}
const disk::Lvb& NodeCore::lvb(locks::Handle handle) const {
    static const disk::Lvb lost{.valid = false};
    return impl_->live() && impl_->locks.alive(handle) ? impl_->locks.lvb(handle) : lost;
}
void NodeCore::write_lvb(locks::Handle handle, std::span<const std::byte> value, bool valid) {
    if (impl_->live() && impl_->locks.alive(handle)) impl_->locks.write_lvb(handle, value, valid);
}
disk::Mode NodeCore::held(locks::Handle handle) const {
    return impl_->live() && impl_->locks.alive(handle) ? impl_->locks.held(handle) : disk::Mode::NL;
}

NodeStatus NodeCore::status(Instant now) const {
    const Impl& im = *impl_;
    NodeStatus s;
    s.state = state_of(im.member.own());
    s.node = im.member.node();
    s.incarnation = im.member.incarnation();
    if (im.live()) s.lease_left = im.member.lease_end() - now;
    s.write_latency = im.write_latency;
    s.read_latency = im.read_latency;
    s.ring_pages = im.superblock.geometry.ring_pages();
    s.ring_used = im.log.pages_used();
    s.counters = im.counters;
    const locks::LockCounters& c = im.locks.counters();
    s.counters.grants = c.grants;
    s.counters.cached_grants = c.cached_grants;
    s.counters.refusals = c.refusals;
    s.counters.releases = c.releases;
    s.counters.blocked_notices = c.blocked_notices;
    s.counters.defended = im.member.defended();
    s.counters.zombie_images = im.member.zombies();
    for (NodeIndex node = 0; node < im.synced.size(); ++node) {
        const bool own = node == s.node;
        const heartbeat::Peer& peer = im.member.peer(node);
        if (!own && !peer.known && !peer.damaged) continue;
        PeerStatus p;
        p.node = node;
        if (own) {
            p.verdict = im.live() ? PeerVerdict::live : PeerVerdict::claiming;
            p.header.node = node;
            p.header.incarnation = s.incarnation;
            p.header.sequence = im.member.written_sequence();
            p.header.host = im.identity.host;
            p.header.boot = im.identity.boot;
            p.header.write_us = static_cast<std::uint32_t>(im.write_latency.ns / 1000);
            p.header.read_us = static_cast<std::uint32_t>(im.read_latency.ns / 1000);
            p.header.state = im.live() ? disk::SlotState::live : disk::SlotState::claiming;
            p.age = im.live() ? now - (im.member.lease_end() - im.timing.lease) : Duration{};
        } else {
            p.header = peer.header;
            p.age = now - peer.changed_at;
            p.records = im.locks.records_of(node);
            if (peer.error && peer.damaged) p.problem = describe(*peer.error);
            p.verdict = verdict_of(peer, p.age, im.timing);
        }
        s.peers.push_back(std::move(p));
    }
    return s;
}

LeaseFacts NodeCore::lease() const {
    const Impl& im = *impl_;
    const Own own = im.member.own();
    return {.live = im.joined_told && own != Own::left && own != Own::fenced,
            .over = own == Own::left || own == Own::fenced || own == Own::failed,
            .node = im.member.node(),
            .life = im.member.incarnation(),
            .submitted = im.member.submitted_sequence(),
            .lease_end = own == Own::lost ? Instant{} : im.member.lease_end(),
            .landed_by = im.settled_after};
}

PeerVerdict verdict_of(const heartbeat::Peer& peer, Duration age, const heartbeat::Timing& timing) {
    if (peer.known && peer.header.state == disk::SlotState::fenced) return PeerVerdict::fenced;
    if (peer.known) {
        switch (peer.ended) {
            case heartbeat::EndedBy::left: return PeerVerdict::left;
            case heartbeat::EndedBy::fenced: return PeerVerdict::fenced;
            case heartbeat::EndedBy::evicted:
            case heartbeat::EndedBy::replaced: return PeerVerdict::dead;
            case heartbeat::EndedBy::none: break;
        }
    }
    if (peer.damaged) return PeerVerdict::damaged;
    if (!peer.known) return PeerVerdict::absent;
    if (peer.header.state == disk::SlotState::claiming) return PeerVerdict::claiming;
    return age > timing.heartbeat * 3 ? PeerVerdict::late : PeerVerdict::live;
}

std::vector<LockRow> NodeCore::lock_rows(const std::optional<disk::ResourceKey>& after, std::size_t max) const {
    const Impl& im = *impl_;
    std::vector<const locks::Resource*> found;
    im.locks.each([&](const locks::Resource& r) {
        if (!after || *after < r.key) found.push_back(&r);
    });
    std::sort(found.begin(), found.end(), [](const auto* a, const auto* b) { return a->key < b->key; });
    std::vector<LockRow> rows;
    for (const locks::Resource* r : found) {
        if (rows.size() >= max) break;                   // whole resources only: the next page starts after this key
        const disk::LockRecord own = impl_->locks.make_record(*r);
        if (!own.gone())
            rows.push_back({im.member.node(), r->key, own, true, r->demand.used, r->blocked != disk::Mode::NL});
        for (const locks::PeerRecord& peer : r->peers)
            if (im.locks.counts(peer)) rows.push_back({peer.node, r->key, peer.record, false, disk::Mode::NL, false});
    }
    return rows;
}

std::vector<NodeIndex> NodeCore::members(const std::string& lockspace) const {
    const Impl& im = *impl_;
    std::vector<NodeIndex> out;
    if (im.live() && im.lockspaces.contains(lockspace)) out.push_back(im.member.node());
    for (const auto& [entry, stamp] : im.peer_members)
        if (entry.second == lockspace && im.member.peer(entry.first).alive()) out.push_back(entry.first);
    std::sort(out.begin(), out.end());
    return out;
}

Result<void> NodeCore::request_fence(NodeIndex node) {
    Impl& im = *impl_;
    if (!im.live()) return Error{.code = Errc::fenced};
    if (node >= im.synced.size() || node == im.member.node() || !im.member.peer(node).alive())
        return Error{.code = Errc::not_found, .field = "node"};
    Impl::OwnFence& own = im.own_fences[node];
    own.incarnation = im.member.peer(node).header.incarnation;
    im.log_record(own.entry, disk::FenceEntry{node, {own.incarnation}}, Impl::Record::stays);
    im.write_now = true;
    return {};
}

Result<void> NodeCore::declare_dead(NodeIndex node) {
    if (!impl_->live()) return Error{.code = Errc::fenced};
    return impl_->member.declare_dead(node, impl_->now);
}

void NodeCore::confirm_eviction(NodeIndex node, const Incarnation& incarnation) {
    impl_->confirm_eviction(node, incarnation);
}

void NodeCore::clients_stopped() { impl_->member.clients_stopped(); }

}  // namespace sdlm::node
