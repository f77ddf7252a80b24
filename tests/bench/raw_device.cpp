// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/bench/raw_device.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <stdexcept>
#include <utility>

#include "disk/io/reactor.hpp"

namespace sdlm::bench {
namespace {

disk::BlockDevice open_device(const std::string& path) {
    auto device = disk::BlockDevice::open(path, {.writable = true});
    if (!device) throw std::runtime_error(path + ": " + describe(device.error()));
    return std::move(*device);
}

}  // namespace

RawFloor::RawFloor(const std::string& device, const disk::Superblock& superblock, NodeIndex unused)
    : device_(open_device(device)), block_offset_(superblock.geometry.slot_offset(unused)),
      block_(superblock.geometry.block_bytes), slots_(superblock.geometry.slots_bytes()) {
    if (auto read = device_.read(block_offset_, block_.bytes()); !read)
        throw std::runtime_error(device + ": " + describe(read.error()));
}

Duration RawFloor::once() {
    const Instant start = disk::boottime_now();
    const auto written = ::pwrite(device_.fd(), block_.data(), block_.size(), static_cast<off_t>(block_offset_));
    const auto read = ::pread(device_.fd(), slots_.data(), slots_.size(), static_cast<off_t>(disk::slots_offset));
    const Duration took = disk::boottime_now() - start;
    if (written != static_cast<ssize_t>(block_.size()) || read != static_cast<ssize_t>(slots_.size()))
        throw std::runtime_error(device_.path() + ": raw I/O failed");
    return took;
}

double raw_chains_per_second(const std::string& path, const disk::Superblock& superblock, NodeIndex unused,
                             unsigned depth, Duration span) {
    const disk::BlockDevice device = open_device(path);
    const disk::Geometry& geometry = superblock.geometry;
    disk::ReactorOptions options;
    options.buffer_bytes = std::max<std::uint64_t>(geometry.slots_bytes(), geometry.block_bytes);
    options.buffer_count = depth;
    std::string message;
    auto reactor = disk::Reactor::create(options, message);
    if (!reactor) throw std::runtime_error(message);
    disk::Reactor& ring = **reactor;
    if (auto registered = ring.register_file(device.fd()); !registered)
        throw std::runtime_error(describe(registered.error()));

    const Instant start = disk::boottime_now();
    const Instant end = start + span;
    std::uint64_t chains = 0;
    unsigned running = 0;
    const auto good = [&](const Result<std::size_t>& result) {
        if (!result) throw std::runtime_error(path + ": raw I/O failed: " + describe(result.error()));
    };
    std::function<void(unsigned, disk::IoBuffer)> chain = [&](unsigned number, disk::IoBuffer buffer) {
        const std::uint64_t offset = geometry.area_offset(unused) + std::uint64_t{number} * geometry.block_bytes;
        ring.write(device.fd(), offset, buffer, geometry.block_bytes, [&, number, buffer](Result<std::size_t> written) {
            good(written);
            ring.read(device.fd(), disk::slots_offset, buffer, geometry.slots_bytes(),
                      [&, number, buffer](Result<std::size_t> read) {
                          good(read);
                          ++chains;
                          if (disk::boottime_now() < end) return chain(number, buffer);
                          if (--running == 0) ring.stop();
                      });
        });
    };
    for (unsigned number = 0; number < depth; ++number) {
        ++running;
        chain(number, ring.take_buffer());
    }
    ring.run();
    const Duration took = disk::boottime_now() - start;
    return static_cast<double>(chains) * 1e9 / static_cast<double>(took.ns);
}

}  // namespace sdlm::bench
