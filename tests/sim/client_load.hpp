// SPDX-License-Identifier: LGPL-2.1-or-later
// The clients of one node life: opens, wants, conversions, withdrawals, LVB writes and closes at random, through the
// LockPort. A few resources are nested: what is held of them is held until another one of them is granted, which
// deadlocks now and then, and the node cores have to find that. All others are never held while another is waited for.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "disk/base/prng.hpp"
#include "locks/core/lock_port.hpp"
#include "tests/sim/disk_witness.hpp"
#include "tests/sim/event_queue.hpp"
#include "tests/sim/lock_checker.hpp"

namespace sdlm::sim {

struct LoadStatistics {
    std::uint64_t requests = 0, grants = 0, would_block = 0, deadlocks = 0, no_space = 0, withdrawn = 0, blocked = 0,
                  writes = 0;
    Time longest_wait = 0;
};

// What all loads of a world share.
struct LoadContext {
    Prng& prng;
    EventQueue& queue;
    LockChecker& checker;
    Lives& lives;
    const DiskWitness& witness;
    std::vector<disk::ResourceKey> keys;      // hot ones first
    std::uint64_t hot = 3, warm = 8;
    std::uint64_t nested = 3;                 // the last ones
    Time wait_max = forever;                  // I8 while the load goes on; only without faults
    bool quiet = false;                       // no new requests; what is granted is released soon
    LoadStatistics statistics;
    std::function<void(Time, std::string)> trace;   // empty: no trace
};

class ClientLoad final : public locks::LockEvents {
public:
    ClientLoad(locks::LockPort& port, LoadContext& context, LifeId life, std::uint16_t host);

    void start(Time now);                     // the node is live: joins the lockspaces
    void act(Time now);                       // one random action, or a burst
    void hold_end(KeyIndex key, std::uint64_t serial, Time now);
    void deliver(Time now);                   // events that the core gave during its pump
    void quiesce(Time now);
    void close_all(Time now);                 // before a clean leave
    void check_nothing_pending(const std::string& who, Time now) const;
    bool started() const { return started_; }

    void granted(locks::Handle handle, disk::Mode mode, const disk::Lvb& lvb) override;
    void refused(locks::Handle handle, locks::Refusal why) override;
    void blocked(locks::Handle handle, disk::Mode mode) override;
    void lease_lost() override;

private:
    struct Lock {
        locks::Handle handle = locks::no_handle;
        disk::Mode used = disk::Mode::NL;
        std::optional<locks::Want> want = std::nullopt;
        Time want_since = 0;
        bool interest = true, cache = true;
        std::uint64_t serial = 0;             // of the present hold
        std::optional<KeyIndex> until = std::nullopt;   // held until this one is granted or refused
    };
    struct Notice {
        enum class Kind : std::uint8_t { granted, refused, blocked, lost } kind = Kind::lost;
        locks::Handle handle = locks::no_handle;
        disk::Mode mode = disk::Mode::NL;
        locks::Refusal why = locks::Refusal::would_block;
        disk::Lvb lvb{};
    };

    KeyIndex pick_key();
    bool ensure_open(KeyIndex key, Time now);
    void request(KeyIndex key, Time now);
    bool nested(KeyIndex key) const { return key + context_.nested >= context_.keys.size(); }
    void nest(KeyIndex key, Time now);
    void unnest(KeyIndex key, Time now);
    void convert_up(KeyIndex key, Time now);
    void withdraw(KeyIndex key, Time now);
    void lower(KeyIndex key, disk::Mode mode, Time now);
    void close(KeyIndex key, Time now);
    void burst(Time now);
    void write_value(KeyIndex key, Time now);
    void set_demand(KeyIndex key);
    void schedule_hold_end(KeyIndex key, Time after, Time now);
    Time hold_time();
    void on_granted(const Notice& notice, Time now);
    void on_refused(const Notice& notice, Time now);
    void on_blocked(const Notice& notice, Time now);
    void trace(Time now, KeyIndex key, const std::string& what) const;
    KeyIndex key_of(locks::Handle handle, const char* event) const;

    locks::LockPort& port_;
    LoadContext& context_;
    LifeId life_;
    std::uint16_t host_;
    bool started_ = false;
    bool lost_ = false;
    std::vector<Lock> locks_;                 // by key
    std::map<locks::Handle, KeyIndex> key_by_handle_;
    std::vector<Notice> notices_;
};

}  // namespace sdlm::sim
