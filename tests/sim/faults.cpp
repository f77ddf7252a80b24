// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/sim/faults.hpp"

#include <algorithm>

#include "disk/base/assert.hpp"

namespace sdlm::sim {

namespace {

constexpr std::array<const char*, fault_count> names{
    "read_fail", "write_fail", "write_part", "write_lie", "late_error", "zombie", "slow", "stall",
    "stall_long", "blind", "pause", "pause_long", "crash", "reboot", "leave", "join_late",
    "fence", "guardian", "rot", "junk", "misdirect", "torn", "clock"};

struct Weight {
    Fault fault;
    std::uint32_t weight;
};
// Relative frequency of the world's own faults; the rest is drawn per I/O.
constexpr std::array<Weight, 11> weights{{{Fault::stall, 12},
                                          {Fault::stall_long, 3},
                                          {Fault::blind, 2},
                                          {Fault::pause, 10},
                                          {Fault::pause_long, 4},
                                          {Fault::crash, 8},
                                          {Fault::leave, 7},
                                          {Fault::fence, 2},
                                          {Fault::rot, 10},
                                          {Fault::junk, 4},
                                          {Fault::count_, 0}}};

Fault by_name(std::string_view name) {
    for (std::size_t i = 0; i < fault_count; ++i)
        if (name == names[i]) return static_cast<Fault>(i);
    return Fault::count_;
}

}  // namespace

const char* text(Fault fault) noexcept {
    return fault < Fault::count_ ? names[static_cast<std::size_t>(fault)] : "?";
}

FaultSet FaultSet::all() {
    FaultSet set;
    set.bits_ = (1U << fault_count) - 1;
    return set;
}

FaultSet FaultSet::mild() {
    FaultSet set;
    for (const Fault f : {Fault::slow, Fault::stall, Fault::pause, Fault::clock}) set.add(f);
    return set;
}

bool FaultSet::parse(std::string_view list, FaultSet& out, std::string& bad) {
    out = {};
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        std::string_view word = list.substr(0, comma);
        list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
        const bool remove = !word.empty() && word.front() == '-';
        if (remove) word.remove_prefix(1);
        FaultSet named;
        if (word == "all") named = all();
        else if (word == "mild") named = mild();
        else if (word != "none") {
            const Fault fault = by_name(word);
            if (fault == Fault::count_) {
                bad = word;
                return false;
            }
            named.add(fault);
        }
        out.bits_ = remove ? out.bits_ & ~named.bits_ : out.bits_ | named.bits_;
    }
    return true;
}

FaultPlan::FaultPlan(FaultSet set, const heartbeat::Timing& timing, std::size_t hosts, Time gap, Prng& prng)
    : set_(set), timing_(timing), gap_(gap), stall_until_(hosts, 0) {
    for (auto& percent : rate_percent_) {
        constexpr std::array<std::uint32_t, 5> choices{15, 50, 100, 100, 300};
        percent = choices[prng.below(choices.size())];
    }
    // Devices from a busy array to a good one; the faster, the dearer a simulated second.
    constexpr std::array<Time, 4> lows{us(800), us(2'000), us(3'000), us(6'000)};
    latency_min_ = lows[prng.below(lows.size())];
    latency_span_ = latency_min_ * static_cast<Time>(1 + prng.below(6));
}

bool FaultPlan::draw(Fault f, std::uint64_t one_in, Prng& prng) {
    if (!has(f)) return false;
    const auto percent = rate_percent_[static_cast<std::size_t>(f)];
    return prng.below(one_in * 100) < percent;
}

void FaultPlan::spread(IoPlan& plan, Time from, Time to, Prng& prng) {
    const auto span = static_cast<std::uint64_t>(std::max<Time>(1, to - from));
    plan.step_count = 1 + prng.below(io_steps_max);
    for (std::size_t i = 0; i < plan.step_count; ++i) plan.step[i] = from + static_cast<Time>(prng.below(span));
}

IoPlan FaultPlan::base_plan(Time now, std::uint16_t host, Prng& prng) {
    IoPlan plan;
    Time latency = latency_min_ + static_cast<Time>(prng.below(static_cast<std::uint64_t>(latency_span_)));
    if (draw(Fault::slow, 200, prng)) latency *= 5;
    Time begin = std::max(now, stall_until_[host]);
    if (now < blind_until_) {
        if (blind_errors_) plan.ok = false;
        else begin = std::max(begin, blind_until_);
    }
    plan.done = begin + latency;
    spread(plan, begin, plan.done, prng);
    return plan;
}

IoPlan FaultPlan::plan_read(Time now, std::uint16_t host, Prng& prng) {
    IoPlan plan = base_plan(now, host, prng);
    if (draw(Fault::read_fail, 250, prng)) plan.ok = false;
    return plan;
}

IoPlan FaultPlan::plan_write(Time now, std::uint16_t host, bool slot, Prng& prng) {
    IoPlan plan = base_plan(now, host, prng);
    if (!plan.ok) {
        plan.step_count = 0;
        return plan;
    }
    if (draw(Fault::write_fail, 250, prng)) {
        plan.ok = false;
        plan.step_count = 0;
    } else if (draw(Fault::write_part, 400, prng)) {
        plan.ok = false;
        plan.skip_one_in = 2;
    } else if (draw(Fault::write_lie, 400, prng)) {
        plan.ok = false;
    } else if (draw(Fault::late_error, 600, prng)) {
        plan.ok = false;
        spread(plan, plan.done, late_landing(plan.done, prng), prng);
    } else if (slot && draw(Fault::misdirect, 1500, prng)) {
        plan.misdirected = true;
    }
    return plan;
}

Time FaultPlan::late_landing(Time now, Prng& prng) const {
    // 0.9: the claimer that waits for it may have a clock that is 5 % fast.
    const auto bound = static_cast<std::uint64_t>(timing_.io_timeout.ns * 9 / 10);
    return now + 1 + static_cast<Time>(prng.below(prng.one_in(3) ? bound : std::max<std::uint64_t>(1, bound / 8)));
}

void FaultPlan::blind_all(Time until, Prng& prng) {
    blind_until_ = std::max(blind_until_, until);
    blind_errors_ = prng.one_in(2);
}

void FaultPlan::heal() {
    std::fill(stall_until_.begin(), stall_until_.end(), 0);
    blind_until_ = 0;
}

Time FaultPlan::next_tick(Time now, Prng& prng) const {
    return now + ms(50) + static_cast<Time>(prng.below(static_cast<std::uint64_t>(gap_)) * 2);
}

FaultAction FaultPlan::draw_action(Prng& prng) {
    std::uint64_t total = 0;
    const auto weight_of = [&](const Weight& w) -> std::uint64_t {
        return w.weight != 0 && has(w.fault) ? w.weight * rate_percent_[static_cast<std::size_t>(w.fault)] : 0;
    };
    for (const auto& w : weights) total += weight_of(w);
    if (total == 0) return {};
    FaultAction action;
    std::uint64_t pick = prng.below(total);
    for (const auto& w : weights) {
        if (pick < weight_of(w)) {
            action.fault = w.fault;
            break;
        }
        pick -= weight_of(w);
    }
    // Below the lease with room for the heartbeat before the hang and the I/O after it, on the fastest clock.
    const Time lease = timing_.lease.ns;
    const Time short_max = (lease * 85 / 100 - timing_.heartbeat.ns * 2) * 2 / 3;
    switch (action.fault) {
    case Fault::stall:
    case Fault::pause:
        action.length = ms(1) + static_cast<Time>(prng.below(static_cast<std::uint64_t>(short_max)));
        break;
    case Fault::stall_long:
        action.length = lease / 2 + static_cast<Time>(prng.below(static_cast<std::uint64_t>(lease)));
        break;
    case Fault::blind:
        action.length = lease / 8 + static_cast<Time>(prng.below(static_cast<std::uint64_t>(lease)));
        break;
    case Fault::pause_long:
        action.length =
            lease / 2 + static_cast<Time>(prng.below(static_cast<std::uint64_t>(timing_.dead().ns * 3 / 2)));
        break;
    default: break;
    }
    return action;
}

}  // namespace sdlm::sim
