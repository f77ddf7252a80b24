// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake_cluster.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "disk/base/assert.hpp"

namespace sdlm::dlm::test {

using locks::compatible;
using locks::conflicts;
using locks::covers;

struct FakeCluster::Port final : locks::LockPort {
    Port(FakeCluster& c, std::size_t n) : cluster(c), node(n) {}
    Stake& stake(Handle handle) { return cluster.shared(node, handle).stakes.at(node); }

    Result<void> join(const std::string&, locks::LockEvents& e) override {
        EXPECT_EQ(events, nullptr);
        events = &e;
        return {};
    }
    void leave(const std::string&) override {
        EXPECT_EQ(cluster.open_count(node), 0U) << "left with open handles";
        events = nullptr;
    }
    Result<Handle> open(const disk::ResourceKey& key) override {
        if (cluster.refuse_open) return Error{.code = Errc::no_space};
        Shared& s = cluster.resources_[key];
        s.key = key;
        Stake& mine = s.stakes[node];
        EXPECT_FALSE(mine.open) << "two handles of one resource";
        mine = Stake{};
        mine.open = true;
        mine.demand.interest = false;
        mine.handle = ++cluster.last_handle_;
        if (cluster.caching_ == Caching::everything) mine.held = Mode::EX;
        cluster.handles_[mine.handle] = key;
        return mine.handle;
    }
    void close(Handle handle) override {
        Shared& s = cluster.shared(node, handle);
        cluster.lower(s, s.stakes.at(node), Mode::NL);
        s.stakes.erase(node);
        cluster.handles_.erase(handle);
        cluster.forget_value(s);
    }
    void set_demand(Handle handle, const Demand& demand) override {
        ++cluster.demands;
        Shared& s = cluster.shared(node, handle);
        Stake& mine = s.stakes.at(node);
        ASSERT_TRUE(covers(mine.held, demand.used)) << "used above what is held";
        if (mine.demand.want != demand.want) mine.ticket = 0;
        mine.demand = demand;
        if (!locks::writes_lvb(demand.used) && mine.dirty) {
            s.value = mine.written;
            mine.dirty = false;
        }
        cluster.forget_value(s);
    }
    const Lvb& lvb(Handle handle) const override {
        Shared& s = cluster.shared(node, handle);
        const Stake& mine = s.stakes.at(node);
        return mine.dirty ? mine.written : s.value;
    }
    void write_lvb(Handle handle, std::span<const std::byte> value, bool valid) override {
        Stake& mine = stake(handle);
        ASSERT_TRUE(locks::writes_lvb(mine.demand.used)) << "LVB written below PW";
        mine.dirty = true;
        mine.written = Lvb{};
        mine.written.version = ++cluster.versions_;
        mine.written.valid = valid;
        mine.written.length = static_cast<std::uint8_t>(value.size());
        std::copy(value.begin(), value.end(), mine.written.bytes.begin());
    }
    Mode held(Handle handle) const override { return cluster.shared(node, handle).stakes.at(node).held; }

    FakeCluster& cluster;
    std::size_t node;
    locks::LockEvents* events = nullptr;
};

FakeCluster::FakeCluster(std::size_t node_count, Caching caching, std::uint64_t seed)
    : caching_(caching), random_(seed) {
    for (std::size_t n = 0; n < node_count; ++n) ports_.push_back(std::make_unique<Port>(*this, n));
}
FakeCluster::~FakeCluster() = default;
locks::LockPort& FakeCluster::port(std::size_t node) { return *ports_.at(node); }

FakeCluster::Shared& FakeCluster::shared(std::size_t node, Handle handle) {
    const auto found = handles_.find(handle);
    SDLM_ASSERT(found != handles_.end());
    Shared& s = resources_.at(found->second);
    SDLM_ASSERT(s.stakes.contains(node) && s.stakes.at(node).handle == handle);
    return s;
}

std::size_t FakeCluster::open_count(std::size_t node) const {
    std::size_t count = 0;
    for (const auto& [key, s] : resources_) count += s.stakes.contains(node) ? 1 : 0;
    return count;
}

void FakeCluster::lower(Shared& s, Stake& stake, Mode to) {
    if (stake.dirty && !locks::writes_lvb(to)) {
        s.value = stake.written;
        stake.dirty = false;
    }
    stake.held = to;
}

// A value lives as long as some node has a lock on the resource.
void FakeCluster::forget_value(Shared& s) {
    for (const auto& [node, stake] : s.stakes)
        if (stake.demand.interest || stake.demand.used != Mode::NL || stake.demand.want) return;
    s.value = Lvb{};
}

bool FakeCluster::lower_idle(Shared& s, std::size_t node) {
    if (caching_ == Caching::everything) return false;
    Stake& mine = s.stakes.at(node);
    bool wanted = caching_ == Caching::nothing && !mine.demand.want;
    for (const auto& [other, stake] : s.stakes)
        if (other != node && stake.demand.want &&
            conflicts(mine.held, locks::join(stake.demand.used, stake.demand.want->mode)))
            wanted = true;
    if (!wanted || mine.held == mine.demand.used) return false;
    lower(s, mine, mine.demand.used);
    return true;
}

bool FakeCluster::announce(Shared& s, std::size_t node) {
    Stake& mine = s.stakes.at(node);
    Mode highest = Mode::NL;
    for (const auto& [other, stake] : s.stakes) {
        if (other == node || !stake.demand.want) continue;
        const Mode mode = locks::join(stake.demand.used, stake.demand.want->mode);
        const bool told = !stake.demand.want->noqueue || stake.demand.want->noqueue_bast;
        if (told && conflicts(mode, mine.demand.used)) highest = std::max(highest, mode);
    }
    if (highest == mine.blocked) return false;
    mine.blocked = highest;
    ports_[node]->events->blocked(mine.handle, highest);
    return true;
}

bool FakeCluster::decide(Shared& s, std::size_t node) {
    Stake& mine = s.stakes.at(node);
    if (!mine.demand.want) return false;
    const Handle handle = mine.handle;
    locks::LockEvents& events = *ports_[node]->events;
    if (refuse_wants) {
        mine.demand.want.reset();
        events.refused(handle, locks::Refusal::no_space);
        return true;
    }
    if (mine.ticket == 0) mine.ticket = ++tickets_;
    const locks::Want want = *mine.demand.want;
    const Mode target = locks::join(mine.demand.used, want.mode);
    bool in_use = false, idle = false, behind = false, deadlock = false;
    for (const auto& [other, stake] : s.stakes) {
        if (other == node) continue;
        if (conflicts(stake.held, target)) (conflicts(stake.demand.used, target) ? in_use : idle) = true;
        if (!stake.demand.want || stake.ticket == 0) continue;
        const Mode theirs = locks::join(stake.demand.used, stake.demand.want->mode);
        if (!conflicts(theirs, target)) continue;
        const bool first =
            stake.demand.want->convert != want.convert ? stake.demand.want->convert : stake.ticket < mine.ticket;
        if (!first) continue;
        // Conversions overtake those that cannot be granted themselves, or two could wait for each other for ever.
        bool stuck = false;
        for (const auto& [third, holder] : s.stakes)
            stuck = stuck || (third != other && conflicts(holder.demand.used, theirs));
        behind = behind || !want.convert || !stake.demand.want->convert || !stuck;
        if (want.convert && !want.deadlock_wait && stake.demand.want->convert && conflicts(stake.demand.used, target) &&
            conflicts(theirs, mine.demand.used))
            deadlock = true;
    }
    if (!covers(mine.held, target)) {
        if (want.noqueue && (in_use || behind)) {
            mine.demand.want.reset();
            events.refused(handle, locks::Refusal::would_block);
            return true;
        }
        if (deadlock) {
            mine.demand.want.reset();
            events.refused(handle, locks::Refusal::deadlock);
            return true;
        }
        if (in_use || idle || behind) return false;
        mine.held = target;
    }
    mine.demand.used = target;
    mine.demand.want.reset();
    events.granted(handle, want.mode, s.value);
    return true;
}

bool FakeCluster::evaluate(Shared& s, std::size_t node) {
    if (!s.stakes.contains(node) || ports_[node]->events == nullptr) return false;
    const bool lowered = lower_idle(s, node);
    const Handle handle = s.stakes.at(node).handle;
    const bool told = announce(s, node);
    if (!s.stakes.contains(node) || s.stakes.at(node).handle != handle) return true;
    return decide(s, node) || told || lowered;
}

bool FakeCluster::step() {
    std::vector<std::pair<disk::ResourceKey, std::size_t>> all;
    for (const auto& [key, s] : resources_)
        for (const auto& [node, stake] : s.stakes) all.emplace_back(key, node);
    while (!all.empty()) {
        const std::size_t at = random_.below(all.size());
        if (evaluate(resources_.at(all[at].first), all[at].second)) return true;
        all.erase(all.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return false;
}

bool FakeCluster::pump() {
    for (int steps = 0; steps < 100'000; ++steps)
        if (!step()) return true;
    return false;
}

void FakeCluster::kill(std::size_t node) {
    for (auto& [key, s] : resources_) {
        const auto mine = s.stakes.find(node);
        if (mine == s.stakes.end()) continue;
        if (locks::writes_lvb(mine->second.held)) {
            s.value.valid = false;
            s.value.version = ++versions_;
        }
        handles_.erase(mine->second.handle);
        s.stakes.erase(mine);
        forget_value(s);
    }
    ports_[node]->events = nullptr;
}

}  // namespace sdlm::dlm::test
