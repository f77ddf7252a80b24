// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/sim/sim_disk.hpp"

#include <algorithm>
#include <utility>

#include "disk/base/assert.hpp"

namespace sdlm::sim {

namespace {
constexpr std::uint8_t no_step = 0xff;
}

IoIndex SimDisk::submit(SimIo io, const IoPlan& plan, Prng& prng) {
    SDLM_ASSERT(io.offset + io.bytes.size() <= bytes_.size());
    SDLM_ASSERT(plan.step_count <= io_steps_max);
    io.plan = plan;
    io.in_use = true;
    io.done_delivered = false;
    io.steps_left = plan.step_count;
    io.step_of_unit.assign((io.bytes.size() + unit_bytes_ - 1) / unit_bytes_, no_step);
    for (auto& unit : io.step_of_unit) {
        if (plan.step_count == 0) break;
        if (plan.skip_one_in != 0 && prng.one_in(plan.skip_one_in)) continue;
        unit = static_cast<std::uint8_t>(plan.step_count == 1 ? 0 : prng.below(plan.step_count));
    }
    if (free_.empty()) {
        ios_.push_back(std::move(io));
        return static_cast<IoIndex>(ios_.size() - 1);
    }
    const IoIndex index = free_.back();
    free_.pop_back();
    ios_[index] = std::move(io);
    return index;
}

void SimDisk::take_step(IoIndex index, std::size_t step) {
    SimIo& io = ios_[index];
    if (io.steps_left == 0) return;
    for (std::size_t unit = 0; unit < io.step_of_unit.size(); ++unit) {
        if (io.step_of_unit[unit] != step) continue;
        const std::size_t at = unit * unit_bytes_;
        const std::size_t size = std::min<std::size_t>(unit_bytes_, io.bytes.size() - at);
        std::byte* disk = bytes_.data() + io.offset + at;
        std::byte* memory = io.bytes.data() + at;
        if (io.write) std::copy_n(memory, size, disk);
        else std::copy_n(disk, size, memory);
    }
    --io.steps_left;
    release_if_over(index);
}

void SimDisk::finish(IoIndex index) {
    ios_[index].done_delivered = true;
    release_if_over(index);
}

void SimDisk::drop_steps(IoIndex index) {
    // The step events stay in the queue; with no unit left they do nothing but count down.
    std::fill(ios_[index].step_of_unit.begin(), ios_[index].step_of_unit.end(), no_step);
}

void SimDisk::release_if_over(IoIndex index) {
    SimIo& io = ios_[index];
    if (!io.in_use || !io.done_delivered || io.steps_left != 0) return;
    io.in_use = false;
    free_.push_back(index);
}

}  // namespace sdlm::sim
