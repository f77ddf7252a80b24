// SPDX-License-Identifier: LGPL-2.1-or-later
// The checkers' own account of every process life: which slot it took, how far its lease reaches in true time (worked
// out from its completed slot writes, never from what the core says), and how it ended.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "disk/base/ids.hpp"
#include "disk/format/geometry.hpp"
#include "disk/format/slot.hpp"
#include "heartbeat/timing.hpp"
#include "tests/sim/sim_time.hpp"

namespace sdlm::sim {

using LifeId = std::uint32_t;                 // from 1

enum class LifeEnd : std::uint8_t { running, left, fenced, lost, crashed, failed };

struct Life {
    LifeId id = 0;
    std::uint16_t host = 0;
    std::uint64_t boot = 0;
    HostClock clock;
    std::uint64_t submitted_sequence = 0;     // of its slot writes
    NodeIndex slot = no_node;
    Incarnation incarnation;
    bool joined = false;
    bool has_lease = false;
    bool lease_over = false;                  // sticky: a write that completes after the lease revives nothing
    Instant lease_end;                        // on its own clock
    LifeEnd end = LifeEnd::running;
    Time ended_at = forever;
    Time clients_gone_at = forever;           // a crashed life: when its host starts the next one
    Time landed_at = 0;                       // a dead life: when the last of its slot writes has landed
};

class Lives {
public:
    Lives(const disk::Geometry& geometry, const heartbeat::Timing& timing) : geometry_(geometry), timing_(timing) {}

    LifeId begin(std::uint16_t host, std::uint64_t boot, const HostClock& clock, Time now);
    Life& get(LifeId id) { return lives_[id - 1]; }
    const Life& get(LifeId id) const { return lives_[id - 1]; }
    const std::vector<Life>& all() const { return lives_; }

    // I3: the write lies in the life's own slot or area, is aligned, and its slot image is the life's own.
    void check_write(LifeId id, std::uint64_t offset, std::span<const std::byte> bytes, const Uuid& volume, Time now);
    // The guardian of a dead life may still say that it is over: within its lease, on its own clock.
    bool may_be_certified(const Life& life, Time now) const;
    void slot_write_done(LifeId id, disk::SlotState state, bool ok, Instant submitted, Instant now);
    void joined(LifeId id, NodeIndex node, const Incarnation& incarnation, Time now);
    void end(LifeId id, LifeEnd how, Time now);
    void clients_gone(LifeId id, Time now);

    // Until when the clients of this life may still be using what it was granted.
    Time use_end(const Life& life) const;
    bool may_use(LifeId id, Time now) const { return use_end(get(id)) > now; }
    // The life ended without releasing; true time of that end, or `forever` when it has not.
    Time died_at(const Life& life, Time now) const;

    // I7: somebody says that it found this incarnation dead.
    void check_evicted(LifeId observer, NodeIndex node, const Incarnation& incarnation, Time now) const;
    // A lease may be called lost only when it is over, or somebody took the slot or asked for it.
    void check_lost(LifeId id, bool excused, const std::string& reason, Time now) const;
    // A running process whose lease is over must have said so.
    void check_lease_respected(LifeId id, Time now) const;

private:
    disk::Geometry geometry_;
    heartbeat::Timing timing_;
    std::vector<Life> lives_;
};

}  // namespace sdlm::sim
