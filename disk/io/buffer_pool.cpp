// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/io/buffer_pool.hpp"

#include "disk/base/assert.hpp"
#include "disk/base/limits.hpp"

namespace sdlm::disk {

BufferPool::BufferPool(std::size_t buffer_bytes, unsigned count)
    : stride_((buffer_bytes + limits::page_bytes - 1) / limits::page_bytes * limits::page_bytes),
      count_(buffer_bytes == 0 ? 0 : count) {
    memory_ = AlignedBuffer(stride_ * count_);
    states_.assign(count_, State::free);
    for (unsigned index = count_; index > 0; --index) free_.push_back(index - 1);
}

IoBuffer BufferPool::at(unsigned index) const {
    SDLM_ASSERT(index < count_);
    return IoBuffer{memory_.bytes().subspan(stride_ * index, stride_), static_cast<int>(index)};
}

BufferPool::State& BufferPool::state_of(const IoBuffer& buffer) {
    SDLM_ASSERT(buffer.index >= 0);
    const auto index = static_cast<unsigned>(buffer.index);
    SDLM_ASSERT(index < count_);
    SDLM_ASSERT(buffer.bytes.data() == memory_.data() + stride_ * index);
    return states_[index];
}

IoBuffer BufferPool::take() {
    if (free_.empty()) return {};
    const unsigned index = free_.back();
    free_.pop_back();
    states_[index] = State::taken;
    return at(index);
}

void BufferPool::give(const IoBuffer& buffer) {
    State& state = state_of(buffer);
    SDLM_ASSERT(state == State::taken);      // not given twice, and never while the kernel may use it
    state = State::free;
    free_.push_back(static_cast<unsigned>(buffer.index));
}

void BufferPool::set_in_flight(const IoBuffer& buffer) {
    State& state = state_of(buffer);
    SDLM_ASSERT(state == State::taken);
    state = State::in_flight;
}

void BufferPool::set_landed(const IoBuffer& buffer) {
    State& state = state_of(buffer);
    SDLM_ASSERT(state == State::in_flight);
    state = State::taken;
}

}  // namespace sdlm::disk
