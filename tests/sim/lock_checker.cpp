// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/sim/lock_checker.hpp"

#include "locks/core/mode.hpp"
#include "tests/sim/violation.hpp"

namespace sdlm::sim {

using disk::Mode;

namespace {

std::size_t lvb_length(std::uint64_t write_id) { return 8 + write_id % (limits::lvb_bytes_max - 8 + 1); }

std::byte lvb_byte(std::uint64_t write_id, std::size_t i) {
    if (i < 8) return static_cast<std::byte>(write_id >> (8 * i) & 0xff);
    return static_cast<std::byte>((write_id * 131 + i * 7) & 0xff);
}

}  // namespace

std::vector<std::byte> lvb_bytes(std::uint64_t write_id) {
    std::vector<std::byte> bytes(lvb_length(write_id));
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = lvb_byte(write_id, i);
    return bytes;
}

std::uint64_t lvb_write_id(const disk::Lvb& lvb) {
    if (lvb.length < 8) return 0;
    std::uint64_t id = 0;
    for (std::size_t i = 8; i-- > 0;) id = id << 8 | std::to_integer<std::uint64_t>(lvb.bytes[i]);
    if (id == 0 || lvb.length != lvb_length(id)) return 0;
    for (std::size_t i = 0; i < lvb.length; ++i)
        if (lvb.bytes[i] != lvb_byte(id, i)) return 0;
    return id;
}

std::string LockChecker::describe(LifeId life, KeyIndex key, Mode mode) const {
    const Life& l = lives_.get(life);
    return "host " + std::to_string(l.host) + " life " + std::to_string(life) + " (node " + std::to_string(l.slot) +
           ") " + locks::text(mode) + " on key " + std::to_string(key);
}

void LockChecker::check_conflicts(LifeId life, KeyIndex key, Mode mode, Time now) const {
    for (const auto& [other, stake] : keys_[key].stakes) {
        if (other == life || stake.used == Mode::NL || locks::compatible(stake.used, mode)) continue;
        if (!lives_.may_use(other, now)) continue;
        throw Violation("I1: " + describe(life, key, mode) + " was granted while in use by " +
                        describe(other, key, stake.used));
    }
}

void LockChecker::granted(LifeId life, KeyIndex key, Mode mode, const disk::Lvb& lvb, Time now) {
    ++grants_;
    const Life& l = lives_.get(life);
    if (l.end != LifeEnd::running)
        throw Violation("I1: " + describe(life, key, mode) + " was granted after the life ended");
    if (!l.has_lease || l.lease_over || l.clock.local(now) >= l.lease_end)
        throw Violation("I1: " + describe(life, key, mode) + " was granted outside of the lease");
    check_conflicts(life, key, mode, now);
    note_interest(keys_[key], now);
    Stake& stake = keys_[key].stakes[life];
    stake.used = locks::join(stake.used, mode);
    stake.touched = true;
    check_lvb(life, key, mode, lvb, now);
    // A null lock is granted without any I/O; nobody knows of its interest yet.
    if (stake.interest && mode != Mode::NL) stake.sure = true;
}

void LockChecker::lowered(LifeId life, KeyIndex key, Mode mode, Time) { keys_[key].stakes[life].used = mode; }

void LockChecker::opened(LifeId life, KeyIndex key, bool interest, Time) {
    Stake& stake = keys_[key].stakes[life];
    stake = Stake{.open = true, .interest = interest, .touched = true, .seen_write = stake.seen_write};
}

void LockChecker::closed(LifeId life, KeyIndex key, Time now) {
    Stake& stake = keys_[key].stakes[life];
    stake.open = stake.interest = stake.sure = false;
    stake.used = Mode::NL;
    note_interest(keys_[key], now);
}

void LockChecker::life_ended(LifeId life, Time now) {
    const bool uses_on = lives_.get(life).end == LifeEnd::crashed;      // its clients, until the host starts again
    for (auto& key : keys_) {
        const auto it = key.stakes.find(life);
        if (it == key.stakes.end()) continue;
        it->second.open = it->second.interest = it->second.sure = false;
        if (!uses_on) it->second.used = Mode::NL;
        note_interest(key, now);
    }
}

void LockChecker::note_interest(Key& key, Time now) const {
    if (key.forgotten) return;
    for (const auto& [life, stake] : key.stakes)
        if (stake.sure && lives_.may_use(life, now)) return;
    key.forgotten = true;
    for (auto& [life, stake] : key.stakes) stake.seen_write = 0;
}

// A node whose last state is not known exactly makes every value suspect, so any death may excuse the flag.
bool LockChecker::death_excuses(const Key& key, Time now) const {
    if (last_eviction_seen_ >= key.last_write_at - timing_.dead().ns) return true;       // some learn of a death late
    for (const auto& life : lives_.all()) {
        const Time died = life.joined ? lives_.died_at(life, now) : forever;
        if (died != forever && died + timing_.dead().ns * 2 >= key.last_write_at) return true;
    }
    return false;
}

void LockChecker::wrote(LifeId life, KeyIndex key, std::uint64_t write_id, bool valid, Time now) {
    Key& k = keys_[key];
    k.last_write = write_id;
    k.last_write_at = now;
    k.last_valid = valid;
    written_valid_[write_id] = valid;
    if (k.forgotten)
        for (auto& [other, stake] : k.stakes) stake.seen_write = 0;
    k.forgotten = false;
    k.stakes[life].seen_write = write_id;
}

void LockChecker::reread(LifeId life, KeyIndex key, Mode mode, const disk::Lvb& lvb, Time now) {
    check_lvb(life, key, mode, lvb, now);
}

void LockChecker::check_invalid(LifeId life, KeyIndex key, Mode mode, const disk::Lvb& lvb, Time now) const {
    const Key& k = keys_[key];
    if (!k.last_valid || death_excuses(k, now)) return;
    // Beside a writer an older write may still be what counts, and that one may have been marked, by its writer or by a
    // death.
    if (locks::compatible(mode, Mode::PW) && (!written_valid_[lvb_write_id(lvb)] || last_eviction_seen_ > 0)) return;
    throw Violation("I6: " + describe(life, key, mode) + " sees write " + std::to_string(lvb_write_id(lvb)) +
                    " (version " + std::to_string(lvb.version) + ") flagged not valid although no writer died");
}

void LockChecker::check_lvb(LifeId life, KeyIndex key, Mode mode, const disk::Lvb& lvb, Time now) {
    if (mode == Mode::NL) return;
    Key& k = keys_[key];
    Stake& stake = k.stakes[life];
    ++lvb_checked_;
    if (!lvb.valid) return check_invalid(life, key, mode, lvb, now);
    const std::uint64_t seen = lvb.version == 0 ? 0 : lvb_write_id(lvb);
    if (lvb.version != 0 && seen == 0)
        throw Violation("I6: " + describe(life, key, mode) + " sees bytes that nobody wrote (version " +
                        std::to_string(lvb.version) + ")");
    const bool writers_out = locks::conflicts(mode, Mode::PW);
    if (!writers_out) {
        // A reader beside a writer may see the value before or after a release, but never go back.
        if (seen < stake.seen_write && !k.forgotten)
            throw Violation("I6: " + describe(life, key, mode) + " went back from write " +
                            std::to_string(stake.seen_write) + " to write " + std::to_string(seen));
        stake.seen_write = seen;
        return;
    }
    const bool is_last = seen == k.last_write && k.last_valid;
    const bool is_zeros = seen == 0 && k.forgotten;
    if (!is_last && !is_zeros) {
        throw Violation("I6: " + describe(life, key, mode) + " sees write " + std::to_string(seen) + " (version " +
                        std::to_string(lvb.version) + ") as valid; the last was " + std::to_string(k.last_write) +
                        (k.last_valid ? "" : " (marked not valid)"));
    }
    stake.seen_write = seen;
}

}  // namespace sdlm::sim
