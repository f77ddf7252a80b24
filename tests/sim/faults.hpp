// SPDX-License-Identifier: LGPL-2.1-or-later
// Which faults a run may meet, how often, and what they do to one I/O. Everything is drawn from the run's generator.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "disk/base/prng.hpp"
#include "heartbeat/timing.hpp"
#include "tests/sim/sim_disk.hpp"
#include "tests/sim/sim_time.hpp"

namespace sdlm::sim {

enum class Fault : std::uint8_t {
    read_fail,       // a read ends with an error
    write_fail,      // a write ends with an error, nothing landed
    write_part,      // a write ends with an error, some of its units landed
    write_lie,       // a write ends with an error, all of it landed
    late_error,      // a write ends with an error and lands afterwards, within the I/O time bound
    zombie,          // a write of a dead process lands afterwards, within the I/O time bound
    slow,            // single I/Os five times slower
    stall,           // all I/O of a node hangs for less than the lease
    stall_long,      // ... for more than the lease
    blind,           // all nodes see errors or hangs at once
    pause,           // a process is stopped for less than the lease; its I/O goes on
    pause_long,      // ... for more than the lease, up to twice the dead time
    crash,           // a process dies, also between the I/Os of one batch
    reboot,          // a crash may be one of the whole host: new boot id, new clock
    leave,           // clean leave, and a new life later
    join_late,       // some nodes start when the load is on
    fence,           // an administrator's fence request
    guardian,        // a dead process's host writes the last image of its slot
    rot,             // a flipped bit in a slot
    junk,            // random bytes over a slot
    misdirect,       // a slot write lands on another slot
    torn,            // a slot of 4096 bytes on a device with 512-byte units may be half there
    clock,           // clocks run up to 5 % fast or slow
    count_
};
inline constexpr std::size_t fault_count = static_cast<std::size_t>(Fault::count_);
const char* text(Fault fault) noexcept;

class FaultSet {
public:
    bool has(Fault f) const { return (bits_ >> static_cast<unsigned>(f) & 1U) != 0; }
    void add(Fault f) { bits_ |= 1U << static_cast<unsigned>(f); }
    bool any() const { return bits_ != 0; }
    static FaultSet all();
    // Nothing worse than slow I/O, stalls and pauses below the lease: no node may be lost (stall, don't fail).
    static FaultSet mild();
    bool gentle() const { return (bits_ & ~mild().bits_) == 0; }
    // "all", "none", "mild" or a comma list of names, each with '-' in front to remove it; false: `bad` names the word.
    static bool parse(std::string_view list, FaultSet& out, std::string& bad);

private:
    std::uint32_t bits_ = 0;
};

// What a fault tick of the world decides to do.
struct FaultAction {
    Fault fault = Fault::count_;
    Time length = 0;
};

class FaultPlan {
public:
    // `gap`: mean time between two of the world's own faults (crash, pause, stall ...); > 0.
    FaultPlan(FaultSet set, const heartbeat::Timing& timing, std::size_t hosts, Time gap, Prng& prng);

    bool has(Fault f) const { return on_ && set_.has(f); }
    void stop() { on_ = false; }                 // the quiet phase: nothing new goes wrong
    bool on() const { return on_; }

    IoPlan plan_read(Time now, std::uint16_t host, Prng& prng);
    IoPlan plan_write(Time now, std::uint16_t host, bool slot, Prng& prng);
    // A write in flight when its process dies: new times for its steps, all within the I/O time bound.
    Time late_landing(Time now, Prng& prng) const;

    void stall_host(std::uint16_t host, Time until) { stall_until_[host] = std::max(stall_until_[host], until); }
    void blind_all(Time until, Prng& prng);
    void heal();                                 // ends stalls and blindness

    Time next_tick(Time now, Prng& prng) const;
    FaultAction draw_action(Prng& prng);

private:
    IoPlan base_plan(Time now, std::uint16_t host, Prng& prng);
    bool draw(Fault f, std::uint64_t one_in, Prng& prng);
    static void spread(IoPlan& plan, Time from, Time to, Prng& prng);

    FaultSet set_;
    heartbeat::Timing timing_;
    Time gap_;
    std::vector<Time> stall_until_;
    Time blind_until_ = 0;
    bool blind_errors_ = false;
    bool on_ = true;
    std::array<std::uint32_t, fault_count> rate_percent_{};   // of the standard rate of each fault, drawn per run
    Time latency_min_ = 0, latency_span_ = 0;
};

}  // namespace sdlm::sim
