// SPDX-License-Identifier: LGPL-2.1-or-later
// Private to the world: a host and the process on it.
#pragma once
#include "tests/sim/world.hpp"

namespace sdlm::sim {

struct World::Process {
    Process(const disk::Superblock& superblock, const heartbeat::Timing& timing, node::Identity identity,
            LoadContext& context, LifeId life_id, std::uint16_t host)
        : life(life_id), core(superblock, timing, std::move(identity)), load(core, context, life_id, host) {}

    LifeId life;
    node::NodeCore core;
    ClientLoad load;
    node::Output out;
    bool joined = false;
    bool ending = false;                      // said Left, LeaseLost or JoinFailed
    bool leaving = false;
    bool fencing = false;                     // said FenceBegun
    bool fence_requested = false;
    std::uint32_t idle_wakes = 0;
    std::uint64_t wake_serial = 0;
    Time wake_at = forever;
    Time started_at = 0;
};

struct World::Host {
    std::uint16_t index = 0;
    HostClock clock;
    Uuid uuid;
    std::uint64_t boot = 1;
    std::optional<NodeIndex> fixed_node;
    std::unique_ptr<Process> process;
    bool paused = false;
    Time paused_until = 0;
    bool crash_at_next_io = false;
    std::vector<Event> deferred;              // of the paused process, in order
};

}  // namespace sdlm::sim
