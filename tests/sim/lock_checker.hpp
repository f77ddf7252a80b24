// SPDX-License-Identifier: LGPL-2.1-or-later
// What clients use, in true time, and the value of every LVB as a single history: I1 and I6 are checked against it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "disk/format/record.hpp"
#include "heartbeat/timing.hpp"
#include "tests/sim/life.hpp"
#include "tests/sim/sim_time.hpp"

namespace sdlm::sim {

using KeyIndex = std::uint32_t;

// The bytes of a written value name the write, so that a reader's bytes tell which write they are of, whole or torn.
std::vector<std::byte> lvb_bytes(std::uint64_t write_id);
// 0 when these are no bytes of any write.
std::uint64_t lvb_write_id(const disk::Lvb& lvb);

class LockChecker {
public:
    LockChecker(const Lives& lives, const heartbeat::Timing& timing, std::size_t key_count)
        : lives_(lives), timing_(timing), keys_(key_count) {}

    void granted(LifeId life, KeyIndex key, disk::Mode mode, const disk::Lvb& lvb, Time now);
    // The client will not use more than `mode` from now on.
    void lowered(LifeId life, KeyIndex key, disk::Mode mode, Time now);
    void opened(LifeId life, KeyIndex key, bool interest, Time now);
    void closed(LifeId life, KeyIndex key, Time now);
    void life_ended(LifeId life, Time now);
    void eviction_seen(Time now) { last_eviction_seen_ = now; }

    std::uint64_t next_write_id() {
        written_valid_.push_back(true);
        return ++last_write_id_;
    }
    void wrote(LifeId life, KeyIndex key, std::uint64_t write_id, bool valid, Time now);
    // While a mode that excludes writers is in use, the node's copy must stay the value.
    void reread(LifeId life, KeyIndex key, disk::Mode mode, const disk::Lvb& lvb, Time now);

    std::uint64_t grants_checked() const { return grants_; }
    std::uint64_t lvb_checked() const { return lvb_checked_; }

private:
    struct Stake {                            // of one life in one key
        disk::Mode used = disk::Mode::NL;
        bool open = false;
        bool interest = false;
        bool sure = false;                    // a grant was delivered since it opened: others may count on its interest
        bool touched = false;
        std::uint64_t seen_write = 0;
    };
    struct Key {
        std::map<LifeId, Stake> stakes;
        std::uint64_t last_write = 0;         // write id; 0: zeros
        Time last_write_at = 0;
        bool last_valid = true;
        bool forgotten = false;               // nobody was interested for a moment: zeros are right too
    };

    void check_conflicts(LifeId life, KeyIndex key, disk::Mode mode, Time now) const;
    void check_lvb(LifeId life, KeyIndex key, disk::Mode mode, const disk::Lvb& lvb, Time now);
    void note_interest(Key& key, Time now) const;
    void check_invalid(LifeId life, KeyIndex key, disk::Mode mode, const disk::Lvb& lvb, Time now) const;
    bool death_excuses(const Key& key, Time now) const;
    std::string describe(LifeId life, KeyIndex key, disk::Mode mode) const;

    const Lives& lives_;
    heartbeat::Timing timing_;
    std::vector<Key> keys_;
    Time last_eviction_seen_ = -forever;
    std::uint64_t last_write_id_ = 0;
    std::vector<bool> written_valid_{true};    // by write id
    std::uint64_t grants_ = 0;
    std::uint64_t lvb_checked_ = 0;
};

}  // namespace sdlm::sim
