// SPDX-License-Identifier: LGPL-2.1-or-later
// One run: hosts with real node cores, their clients, one disk, one event queue, one generator. The same options give
// the same run, event for event.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "disk/format/superblock.hpp"
#include "locks/node/node_core.hpp"
#include "tests/sim/client_load.hpp"
#include "tests/sim/disk_witness.hpp"
#include "tests/sim/event_queue.hpp"
#include "tests/sim/faults.hpp"
#include "tests/sim/life.hpp"
#include "tests/sim/lock_checker.hpp"
#include "tests/sim/sim_disk.hpp"

namespace sdlm::sim {

struct WorldOptions {
    std::uint64_t seed = 1;
    std::int64_t seconds = 60;                // simulated, the quiet phase at the end included
    std::uint32_t hosts = 0;                  // 0: 3 to 5, drawn
    std::uint32_t block_bytes = 0;            // 0: 512 or 4096, drawn
    FaultSet faults = FaultSet::all();
    Time fault_gap = ms(1'500);               // mean time between two faults of the world
    std::size_t trace_lines = 0;              // kept for trace_tail()
};

struct WorldStatistics {
    std::uint64_t events = 0, reads = 0, writes = 0, joins = 0, crashes = 0, lost = 0, leaves = 0, evictions = 0,
                  join_failures = 0, fenced = 0, certified = 0;
    std::uint64_t warnings = 0, pages = 0, ring_used_max = 0;
};

class World {
public:
    explicit World(const WorldOptions& options);
    ~World();

    void run();                               // throws Violation
    std::uint64_t digest() const { return digest_; }
    const WorldStatistics& statistics() const { return statistics_; }
    const LoadStatistics& load_statistics() const { return load_.statistics; }
    const LockChecker& checker() const { return checker_; }
    const std::deque<std::string>& trace_tail() const { return trace_; }
    Time now() const { return now_; }
    std::string describe() const;             // what was drawn: hosts, block size, timing

private:
    struct Process;
    struct Host;

    static disk::Superblock draw_superblock(const WorldOptions& options, Prng& prng);
    void format();
    void handle(const Event& event);
    void handle_of_host(const Event& event, Host& host);
    void add_event(EventKind kind, const Host& host, Time at, std::uint64_t argument = 0);

    void pump(Host& host);
    void submit_read(Host& host, const node::Read& read);
    void submit_write(Host& host, node::Write& write);
    std::string describe_write(const node::Write& write, NodeIndex slot) const;
    void schedule(IoIndex index);
    void io_done(Host& host, IoIndex index);
    void node_event(Host& host, const node::NodeEvent& event);
    void schedule_wake(Host& host, Instant wake);
    void resume(Host& host);

    void start_process(Host& host);
    void kill(Host& host, LifeEnd how);
    void orphan_io(LifeId life);
    void call_guardian(const Host& host, LifeId life);
    void guardian_acts(const Host& host, LifeId life);
    void schedule_restart(Host& host);
    void begin_leave(Host& host);

    void fault_tick();
    void apply(const FaultAction& action);
    void damage_slot(bool junk);
    void damage_later(NodeIndex node, std::vector<std::byte> bad, Time at);
    void damage(std::size_t index);
    void heal(std::size_t index);
    void misdirect(const Host& host, const node::Write& write, IoPlan& plan);
    void request_fence();
    Host* random_host(bool must_be_live);
    void begin_quiet();
    void note_views(const disk::ResourceKey& key);
    void note_peers(const Host& host);
    void note_beliefs(const std::string& violation);
    void check_end();
    void note(const std::string& line) {
        if (options_.trace_lines != 0) trace(now_, line);
    }
    void trace(Time at, const std::string& line);

    WorldOptions options_;
    Prng prng_;
    disk::Superblock superblock_;
    heartbeat::Timing timing_;
    FaultPlan faults_;
    EventQueue queue_;
    SimDisk disk_;
    Lives lives_;
    LockChecker checker_;
    DiskWitness witness_;
    LoadContext load_;
    struct Damage {
        std::uint64_t offset = 0;
        std::vector<std::byte> bad, good;
    };
    std::vector<Damage> damages_;
    std::vector<std::unique_ptr<Host>> hosts_;
    Time now_ = 0;
    Time quiet_at_ = 0;
    Time end_at_ = 0;
    Time client_gap_ = 0;
    std::uint64_t digest_ = 0xcbf29ce484222325ULL;
    WorldStatistics statistics_;
    std::deque<std::string> trace_;
};

}  // namespace sdlm::sim
