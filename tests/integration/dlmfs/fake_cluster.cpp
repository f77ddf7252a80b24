// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/integration/dlmfs/fake_cluster.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "disk/base/assert.hpp"

namespace sdlm::fs::test {

using locks::Handle;
using locks::Mode;

void FakeCluster::lower(Resource& resource, Share& share, Mode mode) {
    if (locks::writes_lvb(share.held) && !locks::writes_lvb(mode) && share.copy.version > resource.value.version)
        resource.value = share.copy;
    share.held = mode;
}

// True if the want is decided.
bool FakeCluster::decide(const disk::ResourceKey&, Resource& resource, FakeNode& node, Share& share) {
    const Mode mode = share.want->mode;
    bool in_the_way = false;
    for (auto& [other_node, other] : resource.shares) {
        if (other_node == &node) continue;
        in_the_way |= locks::conflicts(other.used, mode);
        const bool queues = other.want && !other.want->noqueue && other.ticket < share.ticket;
        in_the_way |= queues && locks::conflicts(other.want->mode, mode);
    }
    const Handle handle = share.handle;
    if (in_the_way && !share.want->noqueue) return false;
    share.want.reset();
    if (in_the_way) {
        const auto refused = [handle](locks::LockEvents& to) { to.refused(handle, locks::Refusal::would_block); };
        node.send(handle, refused, share.ticket);
        return true;
    }
    for (auto& [other_node, other] : resource.shares) {
        if (other_node != &node && locks::conflicts(other.held, mode)) lower(resource, other, other.used);
    }
    share.held = locks::join(share.held, mode);
    share.used = locks::join(share.used, mode);
    if (resource.value.version > share.copy.version || !resource.value.valid) share.copy = resource.value;
    const auto granted = [handle, mode, lvb = share.copy](locks::LockEvents& to) { to.granted(handle, mode, lvb); };
    node.send(handle, granted, share.ticket);
    return true;
}

void FakeCluster::tell_blocked(Resource& resource) {
    for (auto& [node, share] : resource.shares) {
        Mode wanted = Mode::NL;
        for (const auto& [other_node, other] : resource.shares) {
            if (other_node == node || !other.want) continue;
            if (locks::conflicts(other.want->mode, share.used)) wanted = locks::join(wanted, other.want->mode);
        }
        if (wanted == share.told) continue;
        share.told = wanted;
        const Handle handle = share.handle;
        node->send(handle, [handle, wanted](locks::LockEvents& to) { to.blocked(handle, wanted); }, 0);
    }
}

void FakeCluster::settle(const disk::ResourceKey& key) {
    Resource& resource = resources_.at(key);
    for (bool again = true; again;) {
        again = false;
        std::vector<std::pair<std::uint64_t, FakeNode*>> order;
        for (const auto& [node, share] : resource.shares) {
            if (share.want) order.emplace_back(share.ticket, node);
        }
        std::sort(order.begin(), order.end());
        for (const auto& [ticket, node] : order) again |= decide(key, resource, *node, resource.shares.at(node));
    }
    tell_blocked(resource);
}

void FakeCluster::drop(const disk::ResourceKey& key, FakeNode& node, bool died) {
    Resource& resource = resources_.at(key);
    Share& share = resource.shares.at(&node);
    if (died && locks::writes_lvb(share.held)) {
        resource.value.valid = false;
        ++resource.value.version;
    }
    if (!died) lower(resource, share, Mode::NL);
    resource.shares.erase(&node);
    if (resource.shares.empty()) resources_.erase(key);
    else settle(key);
}

Result<void> FakeNode::join(const std::string& lockspace, locks::LockEvents& events) {
    if (!live_) return Error{Errc::fenced, 0, 0, "node"};
    if (!domains_.emplace(lockspace, &events).second) return Error{Errc::exists, 0, 0, "lockspace"};
    return {};
}

void FakeNode::leave(const std::string& lockspace) {
    for (const auto& [handle, key] : keys_) SDLM_ASSERT(key.lockspace != lockspace);
    SDLM_ASSERT(domains_.erase(lockspace) == 1);
}

Result<Handle> FakeNode::open(const disk::ResourceKey& key) {
    SDLM_ASSERT(domains_.contains(key.lockspace));
    FakeCluster::Resource& resource = cluster_.resources_[key];
    SDLM_ASSERT(!resource.shares.contains(this));
    FakeCluster::Share& share = resource.shares[this];
    share.handle = ++last_handle_;
    share.copy = resource.value;
    keys_.emplace(share.handle, key);
    return share.handle;
}

void FakeNode::close(Handle handle) {
    const disk::ResourceKey key = keys_.at(handle);
    keys_.erase(handle);
    cluster_.drop(key, *this, false);
}

FakeCluster::Share& FakeNode::share(Handle handle) const {
    return cluster_.resources_.at(keys_.at(handle)).shares.at(const_cast<FakeNode*>(this));
}

void FakeNode::set_demand(Handle handle, const locks::Demand& demand) {
    FakeCluster::Share& own = share(handle);
    SDLM_ASSERT(locks::covers(own.held, demand.used));
    own.used = demand.used;
    if (demand.want && own.want != demand.want) own.ticket = ++cluster_.last_ticket_;
    own.want = demand.want;
    cluster_.settle(keys_.at(handle));
}

const locks::Lvb& FakeNode::lvb(Handle handle) const { return share(handle).copy; }

void FakeNode::write_lvb(Handle handle, std::span<const std::byte> value, bool valid) {
    FakeCluster::Share& own = share(handle);
    SDLM_ASSERT(locks::writes_lvb(own.used));
    std::copy(value.begin(), value.end(), own.copy.bytes.begin());
    own.copy.length = static_cast<std::uint8_t>(value.size());
    own.copy.valid = valid;
    ++own.copy.version;
}

Mode FakeNode::held(Handle handle) const { return share(handle).held; }

// A decision of an older want must not reach a client that has stated another since: the border promises that.
void FakeNode::send(Handle handle, std::function<void(locks::LockEvents&)> event, std::uint64_t ticket) {
    cluster_.post_([this, handle, ticket, event = std::move(event), alive = std::weak_ptr<bool>(alive_)] {
        if (alive.expired() || !keys_.contains(handle)) return;
        if (ticket != 0 && share(handle).ticket != ticket) return;
        event(*domains_.at(keys_.at(handle).lockspace));
    });
}

void FakeNode::die() {
    for (const auto& [handle, key] : std::exchange(keys_, {})) cluster_.drop(key, *this, true);
    live_ = false;
    const auto domains = std::exchange(domains_, {});
    for (const auto& [name, events] : domains) events->lease_lost();
}

}  // namespace sdlm::fs::test
