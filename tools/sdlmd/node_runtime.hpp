// SPDX-License-Identifier: LGPL-2.1-or-later
// Executes a NodeCore on a device: the only place where the core meets disk/io. It knows nothing of the protocol. One
// thread, the reactor's; the owner of the reactor calls pump() at the end of every round.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "disk/io/block_device.hpp"
#include "disk/io/reactor.hpp"
#include "locks/node/node_core.hpp"

namespace sdlm::tools {

// Buffers for a volume: any read of all slots fits, and several journal transfers are under way at once.
disk::ReactorOptions reactor_options(const disk::Superblock& superblock);

struct RuntimeCounters {                       // all since start
    std::uint64_t reads = 0, writes = 0;       // handed to the reactor
    std::uint64_t read_bytes = 0, write_bytes = 0;
    std::uint64_t delayed = 0;                 // had to wait for a buffer
};

class NodeRuntime {
public:
    // Called from pump(), after the I/O of the same pump has been handed over. May call everything but pump().
    using Listener = std::function<void(const node::NodeEvent&)>;

    // `reactor` and `device` outlive the runtime; the reactor was made with reactor_options().
    NodeRuntime(disk::Reactor& reactor, const disk::BlockDevice& device, const disk::Superblock& superblock,
                const heartbeat::Timing& timing, node::Identity identity, Listener listener);
    ~NodeRuntime();
    NodeRuntime(const NodeRuntime&) = delete;
    NodeRuntime& operator=(const NodeRuntime&) = delete;

    // Called in every pump before its writes are handed over.
    void set_lease_watcher(std::function<void(const node::LeaseFacts&)> watcher) { watcher_ = std::move(watcher); }
    void start();
    void leave();                              // ends with Left or LeaseLost
    // When to be called again at the latest.
    Instant pump();

    locks::LockPort& locks() { return core_; }
    node::NodeStatus status() const;
    node::LeaseFacts lease() const { return core_.lease(); }
    std::vector<node::LockRow> lock_rows(const std::optional<disk::ResourceKey>& after, std::size_t max) const {
        return core_.lock_rows(after, max);
    }
    std::vector<NodeIndex> members(const std::string& lockspace) const { return core_.members(lockspace); }
    void clients_stopped() { core_.clients_stopped(); }
    Result<void> declare_dead(NodeIndex node) { return core_.declare_dead(node); }
    void confirm_eviction(NodeIndex node, const Incarnation& life) { core_.confirm_eviction(node, life); }
    Result<void> request_fence(NodeIndex node) { return core_.request_fence(node); }
    const RuntimeCounters& counters() const { return counters_; }
    std::size_t in_flight() const { return in_flight_; }

private:
    struct Pending;

    void submit_waiting();
    void submit(Pending pending, disk::IoBuffer buffer);
    void read_completed(node::IoId id, disk::IoBuffer buffer, const Result<std::size_t>& result);
    void write_completed(node::IoId id, disk::IoBuffer buffer, const Result<std::size_t>& result);

    disk::Reactor& reactor_;
    const int fd_;
    node::NodeCore core_;
    Listener listener_;
    std::function<void(const node::LeaseFacts&)> watcher_;
    node::Output output_;
    std::deque<Pending> waiting_;              // for a buffer, in the order of the core's output
    std::size_t in_flight_ = 0;
    RuntimeCounters counters_;
    // Completions that come after this object is gone find it expired.
    std::shared_ptr<NodeRuntime*> alive_;
};

}  // namespace sdlm::tools
