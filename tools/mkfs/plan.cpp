// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/mkfs/plan.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>

#include "disk/format/geometry.hpp"

namespace sdlm::tools::mkfs {

namespace {

constexpr std::uint64_t page = limits::page_bytes;

void refuse(Plan& plan, bool usage, std::string problem) {
    plan.problem = std::move(problem);
    plan.usage = usage;
}

void choose_timing(const Options& options, Plan& plan) {
    disk::Superblock& superblock = plan.superblock;
    superblock.lease_ms = options.lease_ms.value_or(limits::lease_ms_default);
    superblock.heartbeat_ms = options.heartbeat_ms.value_or(limits::heartbeat_ms_default);
    if (!options.heartbeat_ms && superblock.heartbeat_ms > superblock.lease_ms / 4) {
        superblock.heartbeat_ms = std::max(superblock.lease_ms / 8, limits::heartbeat_ms_min);
        plan.notes.push_back("heartbeat set to " + std::to_string(superblock.heartbeat_ms) + " ms (lease / 8): " +
                             std::to_string(limits::heartbeat_ms_default) + " ms is too slow for a lease of " +
                             std::to_string(superblock.lease_ms) + " ms");
    }
    superblock.io_timeout_ms =
        options.io_timeout_ms.value_or(heartbeat::default_io_timeout_ms(superblock.lease_ms));
    const auto timing =
        heartbeat::make_timing(superblock.heartbeat_ms, superblock.lease_ms, superblock.io_timeout_ms);
    if (timing) {
        plan.timing = *timing;
        return;
    }
    const std::string field = timing.error().field;
    if (field == "lease_ms")
        return refuse(plan, true, "--lease-ms " + std::to_string(superblock.lease_ms) + " is not between " +
                                      std::to_string(limits::lease_ms_min) + " and " +
                                      std::to_string(limits::lease_ms_max));
    if (field == "heartbeat_ms")
        return refuse(plan, true, "--heartbeat-ms " + std::to_string(superblock.heartbeat_ms) + " is not between " +
                                      std::to_string(limits::heartbeat_ms_min) + " and a quarter of the lease (" +
                                      std::to_string(superblock.lease_ms / 4) + ")");
    refuse(plan, true, "--io-timeout-ms " + std::to_string(superblock.io_timeout_ms) + " is not between " +
                           std::to_string(limits::io_timeout_ms_min) + " and half of the lease (" +
                           std::to_string(superblock.lease_ms / 2) + ")");
}

void choose_block(const Options& options, const DeviceFacts& device, Plan& plan) {
    const std::uint32_t logical = device.logical_block_bytes;
    const std::uint32_t block = options.block_bytes.value_or(logical);
    plan.superblock.geometry.block_bytes = block;
    if (block < logical)
        return refuse(plan, false, "block size " + std::to_string(block) +
                                       " is smaller than the device's logical block (" + std::to_string(logical) +
                                       " bytes): a node's slot could be torn; use -b " + std::to_string(logical));
    if (block != limits::block_bytes_min && block != limits::block_bytes_max)
        refuse(plan, false, "the device's logical block has " + std::to_string(block) +
                                " bytes; sdlm works with 512 and 4096 only");
}

void choose_sizes(const Options& options, const DeviceFacts& device, Plan& plan) {
    disk::Geometry& geometry = plan.superblock.geometry;
    geometry.slot_count = options.slot_count;
    geometry.volume_bytes = device.bytes / page * page;
    const auto needed = [&geometry](std::uint64_t area) {
        return disk::bytes_needed(geometry.block_bytes, geometry.slot_count, area);
    };
    const auto too_small = [&](std::uint64_t area) {
        refuse(plan, false, "too small: " + std::to_string(geometry.slot_count) + " nodes with a journal of " +
                                bytes_text(area) + " each need " + bytes_text(needed(area)) + ", the device has " +
                                bytes_text(device.bytes) + "; use a larger device, fewer nodes (-N)" +
                                (area > limits::area_bytes_min ? " or a smaller journal (-J)" : ""));
    };
    if (options.area_bytes) {
        geometry.area_bytes = (*options.area_bytes + page - 1) / page * page;
        if (geometry.area_bytes != *options.area_bytes)
            plan.notes.push_back("journal size rounded up to " + bytes_text(geometry.area_bytes) +
                                 ", a multiple of " + std::to_string(page));
        if (needed(geometry.area_bytes) > device.bytes) too_small(geometry.area_bytes);
        return;
    }
    geometry.area_bytes = limits::area_bytes_default;
    static_assert(std::has_single_bit(limits::area_bytes_default) && std::has_single_bit(limits::area_bytes_min));
    while (geometry.area_bytes > limits::area_bytes_min && needed(geometry.area_bytes) > device.bytes)
        geometry.area_bytes /= 2;
    if (needed(geometry.area_bytes) > device.bytes) return too_small(geometry.area_bytes);
    if (geometry.area_bytes != limits::area_bytes_default)
        plan.notes.push_back("journal of each node set to " + bytes_text(geometry.area_bytes) +
                             ": the device is too small for " + bytes_text(limits::area_bytes_default));
}

}  // namespace

std::string bytes_text(std::uint64_t bytes) {
    static constexpr struct {
        unsigned shift;
        const char* unit;
    } units[] = {{40, "TiB"}, {30, "GiB"}, {20, "MiB"}, {10, "KiB"}};
    std::string out = std::to_string(bytes) + " bytes";
    for (const auto& [shift, unit] : units) {
        if (bytes < UINT64_C(1) << shift) continue;
        char text[40];
        std::snprintf(text, sizeof text, "%.*f %s", bytes % (UINT64_C(1) << shift) == 0 ? 0 : 1,
                      static_cast<double>(bytes) / static_cast<double>(UINT64_C(1) << shift), unit);
        return out + " (" + text + ")";
    }
    return out;
}

Plan make_plan(const Options& options, const DeviceFacts& device) {
    Plan plan;
    plan.superblock.label = options.label;
    choose_timing(options, plan);
    if (plan.problem.empty()) choose_block(options, device, plan);
    if (plan.problem.empty()) choose_sizes(options, device, plan);
    if (!plan.problem.empty()) return plan;
    if (const auto good = disk::check(plan.superblock.geometry); !good)
        refuse(plan, false, "impossible geometry: " + describe(good.error()));
    return plan;
}

}  // namespace sdlm::tools::mkfs
