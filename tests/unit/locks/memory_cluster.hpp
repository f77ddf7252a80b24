// SPDX-License-Identifier: LGPL-2.1-or-later
// Several NodeCores over one array of bytes with a virtual clock: every I/O takes one fixed time and never fails.
// For scenarios whose every step is known; the simulator (tests/sim) does the rest.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "locks/node/node_core.hpp"

namespace sdlm::node {

class MemoryCluster {
public:
    struct Client final : locks::LockEvents {
        struct Event {
            char kind;                     // g granted, r refused, b blocked, l lease lost
            locks::Handle handle = 0;
            disk::Mode mode = disk::Mode::NL;
            disk::Lvb lvb;
        };
        std::vector<Event> events;
        void granted(locks::Handle h, disk::Mode m, const disk::Lvb& lvb) override {
            events.push_back({'g', h, m, lvb});
        }
        void refused(locks::Handle h, locks::Refusal) override { events.push_back({'r', h, disk::Mode::NL, {}}); }
        void blocked(locks::Handle h, disk::Mode m) override { events.push_back({'b', h, m, {}}); }
        void lease_lost() override { events.push_back({'l', 0, disk::Mode::NL, {}}); }
        bool has(char kind) const;
        const Event& last(char kind) const;
    };
    struct Node {
        std::unique_ptr<NodeCore> core;
        Client client;
        std::vector<NodeEvent> events;
        Instant wake = never;
        bool running = true;
        bool frozen = false;               // SIGSTOP: gets no events and no time
        bool hold_writes = false;          // its writes stay out, see `held`
        bool fail_reads = false;
        Duration
            slow_live{};   // not 0: its first write that says live takes this long, and its reads fail from then on
        int life = 0;                      // tells I/O of an earlier life apart
    };

    explicit MemoryCluster(std::uint32_t block_bytes = 512, std::uint32_t slots = 4);
    NodeCore& start(NodeIndex node);       // a new life; returns at once
    void join_all(std::initializer_list<NodeIndex> nodes, const std::string& lockspace = "ls");
    void kill(NodeIndex node) { nodes[node].running = false; }
    void run(Duration time);
    // Runs until `done` or for `limit`; tells whether it was done.
    bool run_until(const std::function<bool()>& done, Duration limit = milliseconds(30'000));
    Instant now() const { return now_; }
    NodeCore& core(NodeIndex node) { return *nodes[node].core; }
    Client& client(NodeIndex node) { return nodes[node].client; }
    bool live(NodeIndex node) { return core(node).status(now_).state == NodeState::live; }

    disk::Superblock superblock;
    heartbeat::Timing timing = heartbeat::default_timing;
    Duration latency = microseconds(200);
    bool hold_evictions = false;           // of nodes that start from now on
    std::map<NodeIndex, Node> nodes;
    std::vector<std::byte> bytes;
    std::vector<Write> held;               // writes that have not landed
    void land_held();

private:
    struct Io {
        Instant at;
        std::uint64_t order;
        NodeIndex node;
        int life;
        std::optional<Read> read;
        std::optional<Write> write;
    };
    void pump(NodeIndex node);
    void pump_all();
    void step(Instant limit);
    std::vector<Io> pending_;
    std::uint64_t order_ = 0;
    Instant now_{1'000'000'000};
};

}  // namespace sdlm::node
