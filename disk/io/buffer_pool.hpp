// SPDX-License-Identifier: LGPL-2.1-or-later
// The reactor's disk buffers: page-aligned, each free, taken by a client, or in flight (the kernel's).
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "disk/io/aligned_buffer.hpp"
#include "disk/io/reactor.hpp"

namespace sdlm::disk {

class BufferPool {
public:
    BufferPool(std::size_t buffer_bytes, unsigned count);
    // False when there is no memory for it.
    bool valid() const { return count_ == 0 || memory_.data() != nullptr; }
    unsigned count() const { return count_; }

    IoBuffer take();
    void give(const IoBuffer& buffer);
    void set_in_flight(const IoBuffer& buffer);
    void set_landed(const IoBuffer& buffer);
    IoBuffer at(unsigned index) const;
    void leak() { memory_.leak(); }

private:
    enum class State : std::uint8_t { free, taken, in_flight };
    State& state_of(const IoBuffer& buffer);

    AlignedBuffer memory_;
    std::size_t stride_ = 0;
    unsigned count_ = 0;
    std::vector<State> states_;
    std::vector<unsigned> free_;
};

}  // namespace sdlm::disk
