// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/sim/client_load.hpp"

#include <algorithm>

#include "locks/core/mode.hpp"
#include "tests/sim/violation.hpp"

namespace sdlm::sim {

using disk::Mode;
using locks::Demand;
using locks::Want;

ClientLoad::ClientLoad(locks::LockPort& port, LoadContext& context, LifeId life, std::uint16_t host)
    : port_(port), context_(context), life_(life), host_(host), locks_(context.keys.size()) {}

void ClientLoad::trace(Time now, KeyIndex key, const std::string& what) const {
    if (context_.trace)
        context_.trace(now, "host " + std::to_string(host_) + " key " + std::to_string(key) + " " + what);
}

void ClientLoad::start(Time) {
    std::vector<std::string> joined;
    for (const auto& key : context_.keys) {
        if (std::find(joined.begin(), joined.end(), key.lockspace) != joined.end()) continue;
        joined.push_back(key.lockspace);
        if (const auto result = port_.join(key.lockspace, *this); !result)
            throw Violation("I8: a live node cannot join lockspace " + key.lockspace + ": " + describe(result.error()));
    }
    started_ = true;
}

KeyIndex ClientLoad::pick_key() {
    const std::uint64_t where = context_.prng.below(10);
    const std::uint64_t hot = context_.hot;
    const std::uint64_t warm = context_.warm;
    if (context_.prng.one_in(5))
        return static_cast<KeyIndex>(context_.keys.size() - 1 - context_.prng.below(context_.nested));
    if (where < 4) return static_cast<KeyIndex>(context_.prng.below(hot));
    if (where < 8) return static_cast<KeyIndex>(hot + context_.prng.below(warm));
    return static_cast<KeyIndex>(hot + warm + context_.prng.below(context_.keys.size() - hot - warm));
}

void ClientLoad::set_demand(KeyIndex key) {
    const Lock& lock = locks_[key];
    Demand demand{.used = lock.used, .want = lock.want, .interest = lock.interest, .cache = lock.cache, .waits_on = {}};
    if (lock.until) demand.waits_on[0] = locks_[*lock.until].handle;
    port_.set_demand(lock.handle, demand);
}

bool ClientLoad::ensure_open(KeyIndex key, Time now) {
    Lock& lock = locks_[key];
    if (lock.handle != locks::no_handle) return true;
    const auto opened = port_.open(context_.keys[key]);
    if (!opened) {
        const Errc code = opened.error().code;
        if (code == Errc::no_space) ++context_.statistics.no_space;
        if (code == Errc::no_space || code == Errc::fenced) return false;
        throw Violation("I8: a live node cannot open key " + std::to_string(key) + ": " + describe(opened.error()));
    }
    lock = Lock{.handle = *opened,
                .interest = !context_.prng.one_in(4),
                .cache = !context_.prng.one_in(4),
                .serial = lock.serial};
    key_by_handle_[lock.handle] = key;
    context_.checker.opened(life_, key, lock.interest, now);
    trace(now, key, lock.interest ? "open" : "open without interest");
    return true;
}

void ClientLoad::request(KeyIndex key, Time now) {
    if (!ensure_open(key, now)) return;
    constexpr std::array<Mode, 10> modes{Mode::NL, Mode::CR, Mode::CW, Mode::PR, Mode::PR,
                                         Mode::PR, Mode::PW, Mode::EX, Mode::EX, Mode::EX};
    Lock& lock = locks_[key];
    Want want{.mode = modes[context_.prng.below(modes.size())]};
    want.noqueue = context_.prng.below(10) < 3;
    want.noqueue_bast = want.noqueue && context_.prng.one_in(3);
    lock.want = want;
    lock.want_since = now;
    ++context_.statistics.requests;
    trace(now, key, std::string("wants ") + locks::text(want.mode) + (want.noqueue ? " noqueue" : ""));
    if (nested(key) && !want.noqueue) nest(key, now);
    set_demand(key);
}

// What is held of the other nested keys is held until this one is decided. Only one host spares its wants, so that no
// cycle is made of spared ones.
void ClientLoad::nest(KeyIndex key, Time now) {
    Want& want = *locks_[key].want;
    want.owner_tag = life_ + 1;
    want.spared = host_ == 0 && context_.prng.one_in(4);
    for (KeyIndex held = 0; held < locks_.size(); ++held) {
        Lock& lock = locks_[held];
        if (!nested(held) || lock.used == Mode::NL || lock.want || lock.until) continue;
        lock.until = key;
        trace(now, held, "is held until " + std::to_string(key));
        set_demand(held);
    }
}

void ClientLoad::unnest(KeyIndex key, Time now) {
    for (KeyIndex held = 0; held < locks_.size(); ++held) {
        Lock& lock = locks_[held];
        if (lock.until != key) continue;
        lock.until.reset();
        set_demand(held);
        schedule_hold_end(held, hold_time(), now);
    }
}

void ClientLoad::convert_up(KeyIndex key, Time now) {
    Lock& lock = locks_[key];
    const Mode more = locks::join(lock.used, context_.prng.one_in(2) ? Mode::EX : Mode::PW);
    if (more == lock.used) return;
    Want want{.mode = more};
    want.noqueue = context_.prng.one_in(4);
    // Not a conversion: a second local client wants more while the first one still uses the lock.
    want.convert = !context_.prng.one_in(4);
    lock.want = want;
    lock.want_since = now;
    ++context_.statistics.requests;
    trace(now, key,
          std::string(want.convert ? "converts " : "adds ") + locks::text(lock.used) + " -> " + locks::text(more) +
              (want.noqueue ? " noqueue" : ""));
    set_demand(key);
}

void ClientLoad::withdraw(KeyIndex key, Time now) {
    Lock& lock = locks_[key];
    lock.want.reset();
    ++context_.statistics.withdrawn;
    trace(now, key, "withdraws");
    unnest(key, now);
    set_demand(key);
    if (lock.used != Mode::NL) schedule_hold_end(key, hold_time(), now);
}

void ClientLoad::write_value(KeyIndex key, Time now) {
    const std::uint64_t id = context_.checker.next_write_id();
    const bool valid = !context_.prng.one_in(20);
    const auto bytes = lvb_bytes(id);
    trace(now, key, "writes value " + std::to_string(id) + (valid ? "" : " not valid"));
    port_.write_lvb(locks_[key].handle, bytes, valid);
    context_.checker.wrote(life_, key, id, valid, now);
    ++context_.statistics.writes;
}

void ClientLoad::lower(KeyIndex key, Mode mode, Time now) {
    Lock& lock = locks_[key];
    if (!locks::covers(port_.held(lock.handle), lock.used))
        throw Violation("I1: host " + std::to_string(host_) + " uses " + locks::text(lock.used) + " on key " +
                        std::to_string(key) + " but its core holds " + locks::text(port_.held(lock.handle)));
    if (lock.used != Mode::NL) context_.checker.reread(life_, key, lock.used, port_.lvb(lock.handle), now);
    if (locks::writes_lvb(lock.used) && context_.prng.below(10) < 7) write_value(key, now);
    lock.used = mode;
    ++lock.serial;
    if (context_.prng.one_in(16)) lock.cache = !lock.cache;
    trace(now, key, std::string("lowers to ") + locks::text(mode));
    context_.checker.lowered(life_, key, mode, now);
    set_demand(key);
}

void ClientLoad::close(KeyIndex key, Time now) {
    Lock& lock = locks_[key];
    trace(now, key, "closes");
    unnest(key, now);
    key_by_handle_.erase(lock.handle);
    context_.checker.closed(life_, key, now);
    port_.close(lock.handle);
    lock = Lock{.serial = lock.serial + 1};
}

void ClientLoad::burst(Time now) {
    const std::uint64_t cold = context_.hot + context_.warm;
    const std::uint64_t count = 40 + context_.prng.below(260);
    std::uint64_t key = cold + context_.prng.below(context_.keys.size() - cold);
    for (std::uint64_t i = 0; i < count; ++i, ++key) {
        if (key == context_.keys.size()) key = cold;
        const Lock& lock = locks_[key];
        if (!lock.want && lock.used == Mode::NL) request(static_cast<KeyIndex>(key), now);
    }
}

void ClientLoad::act(Time now) {
    if (!started_ || lost_ || context_.quiet) return;
    Prng& prng = context_.prng;
    if (prng.one_in(250)) return burst(now);
    const KeyIndex key = pick_key();
    Lock& lock = locks_[key];
    if (lock.want) {
        if (context_.wait_max != forever && now - lock.want_since > context_.wait_max)
            throw Violation("I8: host " + std::to_string(host_) + " waits for key " + std::to_string(key) + " since " +
                            std::to_string((now - lock.want_since) / 1'000'000) + " ms without any fault");
        if (prng.one_in(12)) withdraw(key, now);
        return;
    }
    if (lock.used == Mode::NL) {
        if (lock.handle != locks::no_handle && prng.one_in(8)) return close(key, now);
        return request(key, now);
    }
    if (prng.one_in(3) && !nested(key)) return convert_up(key, now);
    if (locks::writes_lvb(lock.used) && prng.one_in(3)) write_value(key, now);
}

Time ClientLoad::hold_time() {
    Prng& prng = context_.prng;
    if (context_.quiet) return ms(1) + static_cast<Time>(prng.below(static_cast<std::uint64_t>(ms(10))));
    const std::uint64_t kind = prng.below(100);
    const Time span = kind == 0 ? ms(2'000) : kind < 8 ? ms(500) : ms(60);
    return us(100) + static_cast<Time>(prng.below(static_cast<std::uint64_t>(span)));
}

void ClientLoad::schedule_hold_end(KeyIndex key, Time after, Time now) {
    const std::uint64_t serial = ++locks_[key].serial;
    context_.queue.add({.at = now + after,
                        .argument = key | serial << 16,
                        .life = life_,
                        .host = host_,
                        .kind = EventKind::hold_end});
}

void ClientLoad::hold_end(KeyIndex key, std::uint64_t serial, Time now) {
    Lock& lock = locks_[key];
    if (lost_ || lock.serial != serial || lock.used == Mode::NL) return;
    if (lock.want && lock.want->convert) return;      // goes on when the conversion is decided
    if (lock.until) return;                           // ... when the other key is
    if (!lock.want && context_.prng.one_in(5) && !context_.quiet) {
        constexpr std::array<Mode, 4> lower_modes{Mode::CR, Mode::PR, Mode::CW, Mode::PW};
        const Mode down = lower_modes[context_.prng.below(lower_modes.size())];
        if (down != lock.used && locks::covers(lock.used, down)) {
            lower(key, down, now);
            return schedule_hold_end(key, hold_time(), now);
        }
    }
    lower(key, Mode::NL, now);
    if (!lock.want && context_.prng.one_in(4)) close(key, now);
}

void ClientLoad::quiesce(Time now) {
    for (KeyIndex key = 0; key < locks_.size(); ++key)
        if (locks_[key].used != Mode::NL) schedule_hold_end(key, hold_time(), now);
}

void ClientLoad::close_all(Time now) {
    if (!started_) return;
    for (KeyIndex key = 0; key < locks_.size(); ++key) {
        if (locks_[key].handle == locks::no_handle) continue;
        if (locks_[key].used != Mode::NL) lower(key, Mode::NL, now);
        close(key, now);
    }
    std::vector<std::string> left;
    for (const auto& key : context_.keys) {
        if (std::find(left.begin(), left.end(), key.lockspace) != left.end()) continue;
        left.push_back(key.lockspace);
        port_.leave(key.lockspace);
    }
    started_ = false;
}

void ClientLoad::check_nothing_pending(const std::string& who, Time now) const {
    for (KeyIndex key = 0; key < locks_.size(); ++key)
        if (locks_[key].want)
            throw Violation("I8: " + who + " still wants " + locks::text(locks_[key].want->mode) + " of key " +
                            std::to_string(key) + " (uses " + locks::text(locks_[key].used) + ") after " +
                            std::to_string((now - locks_[key].want_since) / 1'000'000) + " ms, faults long over");
}

}  // namespace sdlm::sim
