// SPDX-License-Identifier: LGPL-2.1-or-later
// Node-level locking of a few nodes in one table, by the book: strict ticket order, cached modes given up when asked
// for, values that live as long as any node keeps the resource. One thread; events go through `post`.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "locks/core/lock_port.hpp"
#include "locks/core/mode.hpp"

namespace sdlm::fs::test {

class FakeNode;

class FakeCluster {
public:
    using Post = std::function<void(std::function<void()>)>;
    explicit FakeCluster(Post post) : post_(std::move(post)) {}

private:
    friend class FakeNode;
    struct Share {
        locks::Handle handle = 0;
        locks::Mode used = locks::Mode::NL, held = locks::Mode::NL;
        std::optional<locks::Want> want;
        std::uint64_t ticket = 0;
        locks::Mode told = locks::Mode::NL;      // last blocked event
        locks::Lvb copy;
    };
    struct Resource {
        std::map<FakeNode*, Share> shares;
        locks::Lvb value;
    };

    void settle(const disk::ResourceKey& key);
    bool decide(const disk::ResourceKey& key, Resource& resource, FakeNode& node, Share& share);
    void tell_blocked(Resource& resource);
    static void lower(Resource& resource, Share& share, locks::Mode mode);
    void drop(const disk::ResourceKey& key, FakeNode& node, bool died);

    Post post_;
    std::map<disk::ResourceKey, Resource> resources_;
    std::uint64_t last_ticket_ = 0;
};

class FakeNode final : public locks::LockPort {
public:
    explicit FakeNode(FakeCluster& cluster) : cluster_(cluster) {}

    Result<void> join(const std::string& lockspace, locks::LockEvents& events) override;
    void leave(const std::string& lockspace) override;
    Result<locks::Handle> open(const disk::ResourceKey& key) override;
    void close(locks::Handle handle) override;
    void set_demand(locks::Handle handle, const locks::Demand& demand) override;
    const locks::Lvb& lvb(locks::Handle handle) const override;
    void write_lvb(locks::Handle handle, std::span<const std::byte> value, bool valid) override;
    locks::Mode held(locks::Handle handle) const override;

    // The node's lease ends: clients are told, everything it held is void for the others.
    void die();
    void set_live(bool live) { live_ = live; }
    std::size_t domain_count() const { return domains_.size(); }
    std::size_t handle_count() const { return keys_.size(); }

private:
    friend class FakeCluster;
    FakeCluster::Share& share(locks::Handle handle) const;
    // Posted; dropped when the handle is closed or the node is gone by then.
    void send(locks::Handle handle, std::function<void(locks::LockEvents&)> event, std::uint64_t ticket);

    FakeCluster& cluster_;
    bool live_ = true;
    std::map<std::string, locks::LockEvents*> domains_;
    std::map<locks::Handle, disk::ResourceKey> keys_;
    locks::Handle last_handle_ = 0;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace sdlm::fs::test
