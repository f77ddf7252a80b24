// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's one thread: io_uring for the disk, for the readiness of other descriptors (FUSE channel, sockets,
// signals) and for time. No callback runs inside another; nothing here blocks but wait.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "disk/base/instant.hpp"
#include "disk/base/result.hpp"

namespace sdlm::disk {

Instant boottime_now();                  // CLOCK_BOOTTIME

struct ReactorOptions {
    unsigned entries = 256;
    std::size_t buffer_bytes = 0;        // 0: no disk buffers
    unsigned buffer_count = 0;           // page-aligned, registered with the kernel where it can
};

// A registered buffer: page-aligned, owned by the reactor from submission to completion.
struct IoBuffer {
    std::span<std::byte> bytes;
    int index = -1;
};

class Reactor {
public:
    // Errc::unsupported with os_errno when io_uring is missing, disabled or too old; `message` says which feature and
    // what to do.
    // The reactor belongs to the thread that creates it: every call, run() and the destructor are that thread's.
    static Result<std::unique_ptr<Reactor>> create(const ReactorOptions& options, std::string& message);
    virtual ~Reactor() = default;

    // Disk. `fd` should be registered first (register_file); buffers come from take_buffer() and go back with
    // give_buffer(). Completion: bytes transferred (all of them), short_transfer at the end of the device, or io error
    // with errno. Short transfers are continued inside, EINTR/EAGAIN retried. An error is final: nothing of the request
    // is queued any more.
    using IoDone = std::function<void(Result<std::size_t>)>;
    virtual Result<void> register_file(int fd) = 0;
    virtual void unregister_file(int) {}                 // before the descriptor is closed
    virtual IoBuffer take_buffer() = 0;                  // bytes.empty() when all are in use
    virtual void give_buffer(IoBuffer buffer) = 0;
    virtual void read(int fd, std::uint64_t offset, IoBuffer buffer, std::size_t bytes, IoDone done) = 0;
    virtual void write(int fd, std::uint64_t offset, IoBuffer buffer, std::size_t bytes, IoDone done) = 0;

    // Readiness (POLLIN ...), level-triggered: called again while the condition lasts. One watch per fd. A descriptor
    // that cannot be polled (closed, regular file) is reported once with POLLERR | POLLNVAL.
    using FdReady = std::function<void(std::uint32_t revents)>;
    virtual void watch(int fd, std::uint32_t events, FdReady ready) = 0;
    virtual void change_watch(int fd, std::uint32_t events) = 0;
    virtual void unwatch(int fd) = 0;                    // after return, `ready` is not called again

    // Runs once, as soon as the current round of completions is done, in order of posting.
    virtual void post(std::function<void()> work) = 0;
    // Runs after posted work at the end of every round (the node's pump); returns when to wake at the latest.
    virtual void set_round_end(std::function<Instant()> round_end) = 0;

    virtual Instant now() const = 0;                     // of this round
    virtual void run() = 0;                              // until stop()
    virtual void stop() = 0;
};

}  // namespace sdlm::disk
