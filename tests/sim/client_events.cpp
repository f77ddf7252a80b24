// SPDX-License-Identifier: LGPL-2.1-or-later
// The node core's events, as the clients of the load see them.
#include <array>

#include "locks/core/mode.hpp"
#include "tests/sim/client_load.hpp"
#include "tests/sim/violation.hpp"

namespace sdlm::sim {

using disk::Mode;

// The events are only noted: clients act after the pump, in the order of the events.
void ClientLoad::granted(locks::Handle handle, Mode mode, const disk::Lvb& lvb) {
    notices_.push_back({.kind = Notice::Kind::granted, .handle = handle, .mode = mode, .lvb = lvb});
}
void ClientLoad::refused(locks::Handle handle, locks::Refusal why) {
    notices_.push_back({.kind = Notice::Kind::refused, .handle = handle, .why = why});
}
void ClientLoad::blocked(locks::Handle handle, Mode mode) {
    notices_.push_back({.kind = Notice::Kind::blocked, .handle = handle, .mode = mode});
}
void ClientLoad::lease_lost() { notices_.push_back({.kind = Notice::Kind::lost}); }

void ClientLoad::deliver(Time now) {
    const std::vector<Notice> notices = std::move(notices_);
    notices_.clear();
    for (const auto& notice : notices) {
        if (lost_ && notice.kind != Notice::Kind::lost)
            throw Violation("I1: host " + std::to_string(host_) + " gets a lock event after lease_lost");
        switch (notice.kind) {
        case Notice::Kind::granted: on_granted(notice, now); break;
        case Notice::Kind::refused: on_refused(notice, now); break;
        case Notice::Kind::blocked: on_blocked(notice, now); break;
        case Notice::Kind::lost: lost_ = true; break;
        }
    }
}

KeyIndex ClientLoad::key_of(locks::Handle handle, const char* event) const {
    const auto it = key_by_handle_.find(handle);
    if (it == key_by_handle_.end())
        throw Violation("I8: host " + std::to_string(host_) + " gets " + event + " for a handle that is not open");
    return it->second;
}

void ClientLoad::on_granted(const Notice& notice, Time now) {
    const KeyIndex key = key_of(notice.handle, "granted");
    Lock& lock = locks_[key];
    if (!lock.want || lock.want->mode != notice.mode)
        throw Violation("I8: host " + std::to_string(host_) + " was granted " + locks::text(notice.mode) + " on key " +
                        std::to_string(key) + " which it did not want");
    trace(now, key, std::string("granted ") + locks::text(notice.mode) + ", value " +
                        std::to_string(lvb_write_id(notice.lvb)) + " version " + std::to_string(notice.lvb.version) +
                        (notice.lvb.valid ? "" : " not valid"));
    context_.checker.granted(life_, key, notice.mode, notice.lvb, now);
    context_.witness.check_grant(context_.lives.get(life_), context_.keys[key], notice.mode);
    ++context_.statistics.grants;
    context_.statistics.longest_wait = std::max(context_.statistics.longest_wait, now - lock.want_since);
    lock.used = notice.mode;
    lock.want.reset();
    unnest(key, now);
    // Long enough that another nested key is asked for meanwhile.
    schedule_hold_end(key, nested(key) && !context_.quiet ? hold_time() * 10 : hold_time(), now);
}

void ClientLoad::on_refused(const Notice& notice, Time now) {
    const KeyIndex key = key_of(notice.handle, "refused");
    Lock& lock = locks_[key];
    if (!lock.want)
        throw Violation("I8: host " + std::to_string(host_) + " was refused key " + std::to_string(key) +
                        " which it did not want");
    auto& statistics = context_.statistics;
    switch (notice.why) {
    case locks::Refusal::would_block:
        if (!lock.want->noqueue)
            throw Violation("I8: host " + std::to_string(host_) + " was refused a queued want of key " +
                            std::to_string(key));
        ++statistics.would_block;
        break;
    case locks::Refusal::deadlock:
        if (!lock.want->convert && (lock.want->owner_tag == 0 || lock.want->spared))
            throw Violation("I8: host " + std::to_string(host_) + " was refused with deadlock on key " +
                            std::to_string(key) + " without converting or waiting in a cycle");
        ++statistics.deadlocks;
        break;
    case locks::Refusal::no_space: ++statistics.no_space; break;
    }
    trace(now, key, std::string("refused ") + locks::text(lock.want->mode) + " reason " +
                        std::to_string(static_cast<unsigned>(notice.why)));
    lock.want.reset();
    unnest(key, now);
    if (lock.used != Mode::NL) schedule_hold_end(key, hold_time(), now);
}

void ClientLoad::on_blocked(const Notice& notice, Time now) {
    const KeyIndex key = key_of(notice.handle, "blocked");
    Lock& lock = locks_[key];
    ++context_.statistics.blocked;
    trace(now, key, std::string("blocked by ") + locks::text(notice.mode));
    if (notice.mode == Mode::NL || lock.used == Mode::NL || lock.until || context_.prng.one_in(3)) return;
    schedule_hold_end(key, us(100) + static_cast<Time>(context_.prng.below(static_cast<std::uint64_t>(ms(10)))), now);
}

}  // namespace sdlm::sim
