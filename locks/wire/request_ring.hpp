// SPDX-License-Identifier: LGPL-2.1-or-later
// Requests on their way from libdlm to the daemon, in memory that both have mapped: a ring of bytes, messages one after
// the other. The daemon believes nothing it reads there: it copies a message first and looks at the copy. see CLIENT.md
#pragma once
#include <algorithm>
#include <atomic>
#include <cstring>

#include "locks/wire/message.hpp"

namespace sdlm::wire {

inline constexpr std::uint32_t ring_bytes = 65536;           // a power of two: positions count on and wrap
inline constexpr std::size_t ring_offset = 4096;             // of the bytes in the mapping; before them, RingHeader
inline constexpr std::size_t ring_mapping_bytes = ring_offset + ring_bytes;

// One cache line for each side that writes.
struct RingHeader {
    alignas(64) std::atomic<std::uint32_t> written;          // by the client: end of the newest message
    std::atomic<std::uint32_t> under_way;                    // its operations without a completion, about
    alignas(64) std::atomic<std::uint32_t> taken;            // by the daemon: end of what it has copied
    alignas(64) std::atomic<std::uint32_t> attended;         // the daemon looks without being told
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free && sizeof(RingHeader) <= ring_offset);

// The client's end. Calls are serialised by the caller.
class RingWriter {
public:
    RingWriter() = default;
    explicit RingWriter(void* mapping)
        : header_(static_cast<RingHeader*>(mapping)), bytes_(static_cast<std::byte*>(mapping) + ring_offset) {}
    explicit operator bool() const { return header_ != nullptr; }

    enum class Put : std::uint8_t { done, ring_bell, full };
    Put put(std::span<const std::byte> message, std::uint32_t under_way) {
        if (room() < message.size()) {
            taken_ = header_->taken.load(std::memory_order_acquire);
            if (room() < message.size()) return Put::full;
        }
        const std::uint32_t at = written_ % ring_bytes;
        const std::size_t before_wrap = std::min<std::size_t>(message.size(), ring_bytes - at);
        std::memcpy(bytes_ + at, message.data(), before_wrap);
        std::memcpy(bytes_, message.data() + before_wrap, message.size() - before_wrap);
        written_ += static_cast<std::uint32_t>(message.size());
        header_->under_way.store(under_way, std::memory_order_relaxed);
        header_->written.store(written_, std::memory_order_seq_cst);
        const bool attended = header_->attended.load(std::memory_order_seq_cst) != 0;
        return attended || header_->attended.exchange(1) != 0 ? Put::done : Put::ring_bell;
    }

private:
    std::size_t room() const { return ring_bytes - (written_ - taken_); }
    RingHeader* header_ = nullptr;
    std::byte* bytes_ = nullptr;
    std::uint32_t written_ = 0, taken_ = 0;
};

// The daemon's end. Only what converts to true may be used.
class RingReader {
public:
    RingReader() = default;
    explicit RingReader(void* mapping)
        : header_(static_cast<RingHeader*>(mapping)), bytes_(static_cast<const std::byte*>(mapping) + ring_offset) {}
    explicit operator bool() const { return header_ != nullptr; }

    // How far the client has written by now; messages up to here came before whatever is received later.
    std::uint32_t end() const { return header_->written.load(std::memory_order_seq_cst); }
    std::uint32_t under_way() const { return header_->under_way.load(std::memory_order_relaxed); }
    bool before(std::uint32_t end) const { return taken_ != end; }
    // Copies the next message before `end`, whose position field may lie. Static text that says what is wrong, or null.
    const char* take(std::uint32_t end, Packet& out) {
        const std::uint32_t there = end - taken_;
        if (there > ring_bytes) return "positions that no ring has";
        if (there < header_bytes) return "shorter than a header";
        std::uint8_t length_bytes[4];
        copy(length_bytes, sizeof length_bytes);
        std::uint32_t length = 0;
        for (unsigned i = 0; i < 4; ++i) length |= std::uint32_t{length_bytes[i]} << (8 * i);
        if (length < header_bytes || length > message_bytes_max || length > there) return "a length that cannot be";
        copy(out.bytes.data(), length);
        out.size = length;
        taken_ += length;
        header_->taken.store(taken_, std::memory_order_release);
        return nullptr;
    }
    void attend() const { header_->attended.store(1, std::memory_order_seq_cst); }
    // Whoever writes from now on rings. False: something was written just before; still attended.
    bool rest() const {
        header_->attended.store(0, std::memory_order_seq_cst);
        if (!before(end())) return true;
        attend();
        return false;
    }

private:
    void copy(void* out, std::size_t count) const {
        const std::uint32_t at = taken_ % ring_bytes;
        const std::size_t before_wrap = std::min<std::size_t>(count, ring_bytes - at);
        std::memcpy(out, bytes_ + at, before_wrap);
        std::memcpy(static_cast<std::byte*>(out) + before_wrap, bytes_, count - before_wrap);
    }
    RingHeader* header_ = nullptr;
    const std::byte* bytes_ = nullptr;
    std::uint32_t taken_ = 0;
};

}  // namespace sdlm::wire
