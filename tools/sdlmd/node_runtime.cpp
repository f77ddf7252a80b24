// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlmd/node_runtime.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "disk/base/assert.hpp"

namespace sdlm::tools {
namespace {

constexpr std::size_t buffer_bytes_min = 256 * 1024;
constexpr unsigned buffer_count = 16;
constexpr std::size_t waiting_max = 4096;      // the core bounds its own I/O far below

}  // namespace

struct NodeRuntime::Pending {
    bool is_write = false;
    node::IoId id = 0;
    std::uint64_t offset = 0;
    std::size_t bytes = 0;
    std::vector<std::byte> content;            // of a write
};

disk::ReactorOptions reactor_options(const disk::Superblock& superblock) {
    disk::ReactorOptions options;
    options.buffer_bytes = std::max<std::size_t>(buffer_bytes_min, superblock.geometry.slots_bytes());
    options.buffer_count = buffer_count;
    return options;
}

NodeRuntime::NodeRuntime(disk::Reactor& reactor, const disk::BlockDevice& device, const disk::Superblock& superblock,
                         const heartbeat::Timing& timing, node::Identity identity, Listener listener)
    : reactor_(reactor), fd_(device.fd()), core_(superblock, timing, std::move(identity)),
      listener_(std::move(listener)), alive_(std::make_shared<NodeRuntime*>(this)) {}

NodeRuntime::~NodeRuntime() { *alive_ = nullptr; }

void NodeRuntime::start() { core_.start(disk::boottime_now()); }

void NodeRuntime::leave() { core_.leave(disk::boottime_now()); }

node::NodeStatus NodeRuntime::status() const { return core_.status(disk::boottime_now()); }

Instant NodeRuntime::pump() {
    core_.pump(disk::boottime_now(), output_);
    if (watcher_) watcher_(core_.lease());
    for (node::Write& write : output_.writes) {
        const std::size_t bytes = write.bytes.size();
        waiting_.push_back({true, write.id, write.offset, bytes, std::move(write.bytes)});
    }
    for (const node::Read& read : output_.reads) waiting_.push_back({false, read.id, read.offset, read.bytes, {}});
    SDLM_ASSERT(waiting_.size() <= waiting_max);
    submit_waiting();
    counters_.delayed += waiting_.size();
    const Instant wake = output_.wake;
    for (const node::NodeEvent& event : std::exchange(output_.events, {})) listener_(event);
    return wake;
}

// In order: a write that waits for a buffer is not overtaken.
void NodeRuntime::submit_waiting() {
    while (!waiting_.empty()) {
        const disk::IoBuffer buffer = reactor_.take_buffer();
        if (buffer.bytes.empty()) return;
        Pending next = std::move(waiting_.front());
        waiting_.pop_front();
        submit(std::move(next), buffer);
    }
}

void NodeRuntime::submit(Pending pending, disk::IoBuffer buffer) {
    SDLM_ASSERT(pending.bytes > 0);
    SDLM_ASSERT(pending.bytes <= buffer.bytes.size());
    ++in_flight_;
    const node::IoId id = pending.id;
    const auto done = [reactor = &reactor_, alive = alive_, id, buffer, is_write = pending.is_write](
                          const Result<std::size_t>& result) {
        if (*alive == nullptr) return reactor->give_buffer(buffer);
        if (is_write) (*alive)->write_completed(id, buffer, result);
        else (*alive)->read_completed(id, buffer, result);
    };
    if (pending.is_write) {
        std::memcpy(buffer.bytes.data(), pending.content.data(), pending.bytes);
        ++counters_.writes;
        counters_.write_bytes += pending.bytes;
        reactor_.write(fd_, pending.offset, buffer, pending.bytes, done);
    } else {
        ++counters_.reads;
        counters_.read_bytes += pending.bytes;
        reactor_.read(fd_, pending.offset, buffer, pending.bytes, done);
    }
}

void NodeRuntime::read_completed(node::IoId id, disk::IoBuffer buffer, const Result<std::size_t>& result) {
    --in_flight_;
    if (result) core_.read_done(disk::boottime_now(), id, std::span<const std::byte>(buffer.bytes.first(*result)));
    else core_.read_done(disk::boottime_now(), id, result.error());
    reactor_.give_buffer(buffer);
    submit_waiting();
}

void NodeRuntime::write_completed(node::IoId id, disk::IoBuffer buffer, const Result<std::size_t>& result) {
    --in_flight_;
    reactor_.give_buffer(buffer);
    if (result) core_.write_done(disk::boottime_now(), id, {});
    else core_.write_done(disk::boottime_now(), id, result.error());
    submit_waiting();
}

}  // namespace sdlm::tools
