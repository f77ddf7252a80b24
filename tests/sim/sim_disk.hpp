// SPDX-License-Identifier: LGPL-2.1-or-later
// One shared disk: an array of bytes, and I/Os that take effect piece by piece between submission and completion. A
// read is no snapshot, a write of several atomic units may be half there. What goes wrong is said in the IoPlan.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "disk/base/prng.hpp"
#include "tests/sim/sim_time.hpp"

namespace sdlm::sim {

using IoIndex = std::uint32_t;
inline constexpr std::size_t io_steps_max = 3;

// How one I/O goes. Steps later than `done` are the late landing of a write that was reported as failed.
struct IoPlan {
    Time done = 0;
    std::array<Time, io_steps_max> step{};     // each unit takes effect at one of these
    std::size_t step_count = 0;                // 0: no effect at all (a failed write that did not land)
    bool misdirected = false;                  // lands elsewhere; the world sees to that
    bool ok = true;
    std::uint32_t skip_one_in = 0;             // a failed write that landed in part: units left out; 0 = none
};

struct SimIo {
    bool write = false;
    bool orphan = false;                       // the process has died; effects only
    std::uint16_t host = 0;
    std::uint32_t life = 0;
    std::uint64_t core_id = 0;                 // node::IoId
    std::uint64_t offset = 0;
    Instant submitted;                         // on the host's clock
    Time submitted_at = 0;
    std::vector<std::byte> bytes;
    std::vector<std::uint8_t> step_of_unit;
    IoPlan plan;
    std::size_t steps_left = 0;
    bool done_delivered = false;
    bool in_use = false;
};

class SimDisk {
public:
    // unit_bytes: what the device writes atomically.
    SimDisk(std::uint64_t bytes, std::uint32_t unit_bytes) : bytes_(bytes), unit_bytes_(unit_bytes) {}

    std::span<std::byte> bytes() { return bytes_; }
    std::span<const std::byte> view(std::uint64_t offset, std::size_t size) const {
        return std::span{bytes_}.subspan(offset, size);
    }

    // The caller schedules plan.step[] and plan.done and calls take_step() / finish() then.
    IoIndex submit(SimIo io, const IoPlan& plan, Prng& prng);
    SimIo& io(IoIndex index) { return ios_[index]; }
    void take_step(IoIndex index, std::size_t step);
    // The completion was delivered or the process is gone: the I/O is forgotten when its steps are over too.
    void finish(IoIndex index);
    // Cancels the steps that have not happened: the I/O never reached the device.
    void drop_steps(IoIndex index);
    template <class F>
    void for_each_of(std::uint32_t life, F&& visit) {
        for (IoIndex i = 0; i < ios_.size(); ++i)
            if (ios_[i].in_use && ios_[i].life == life) visit(i, ios_[i]);
    }

private:
    void release_if_over(IoIndex index);

    std::vector<std::byte> bytes_;
    std::uint32_t unit_bytes_;
    std::vector<SimIo> ios_;
    std::vector<IoIndex> free_;
};

}  // namespace sdlm::sim
