// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/io/aligned_buffer.hpp"

#include <sys/mman.h>

#include <utility>

namespace sdlm::disk {

AlignedBuffer::AlignedBuffer(std::size_t bytes) {
    if (bytes == 0) return;
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    data_ = static_cast<std::byte*>(memory);
    size_ = bytes;
}

AlignedBuffer::AlignedBuffer(AlignedBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

AlignedBuffer::~AlignedBuffer() {
    if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace sdlm::disk
