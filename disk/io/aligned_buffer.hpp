// SPDX-License-Identifier: LGPL-2.1-or-later
// Page-aligned anonymous memory for O_DIRECT. Empty (data() null) when the kernel has none to give.
#pragma once
#include <cstddef>
#include <span>

namespace sdlm::disk {

class AlignedBuffer {
public:
    AlignedBuffer() = default;
    explicit AlignedBuffer(std::size_t bytes);
    AlignedBuffer(AlignedBuffer&& other) noexcept;
    AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
    ~AlignedBuffer();

    std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }
    std::span<std::byte> bytes() const { return {data_, size_}; }
    // Never unmaps: for memory that the kernel may still read or write.
    void leak() { data_ = nullptr, size_ = 0; }

private:
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace sdlm::disk
