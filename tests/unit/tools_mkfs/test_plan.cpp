// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "disk/format/geometry.hpp"
#include "tools/mkfs/plan.hpp"

namespace sdlm::tools::mkfs {
namespace {

constexpr DeviceFacts large{UINT64_C(1) << 30, 512};

Plan plan_for(const DeviceFacts& device, auto change) {
    Options options;
    change(options);
    return make_plan(options, device);
}
Plan plan_for(const DeviceFacts& device) {
    return plan_for(device, [](Options&) {});
}

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(MkfsPlan, Defaults) {
    const Plan plan = plan_for(large);
    EXPECT_EQ(plan.problem, "");
    EXPECT_TRUE(plan.notes.empty());
    EXPECT_EQ(plan.superblock.geometry, (disk::Geometry{512, 16, 8 << 20, UINT64_C(1) << 30}));
    EXPECT_EQ(plan.superblock.heartbeat_ms, 500U);
    EXPECT_EQ(plan.superblock.lease_ms, 8000U);
    EXPECT_EQ(plan.superblock.io_timeout_ms, 1000U);
    EXPECT_LE(plan.timing.failover_bound().ms(), 12'000);
}

TEST(MkfsPlan, TheVolumeEndsAtTheLastWholePage) {
    const Plan plan = plan_for({large.bytes + 4095, 512});
    EXPECT_EQ(plan.superblock.geometry.volume_bytes, large.bytes);
}

TEST(MkfsPlan, BlockSizes) {
    EXPECT_EQ(plan_for({large.bytes, 4096}).superblock.geometry.block_bytes, 4096U);
    const auto with = [](std::uint32_t block) { return [block](Options& o) { o.block_bytes = block; }; };
    EXPECT_EQ(plan_for(large, with(4096)).superblock.geometry.block_bytes, 4096U);
    const Plan torn = plan_for({large.bytes, 4096}, with(512));
    EXPECT_TRUE(mentions(torn.problem, "block size 512 is smaller than the device's logical block (4096"));
    EXPECT_FALSE(torn.usage);
    EXPECT_TRUE(mentions(plan_for({large.bytes, 8192}).problem, "8192"));
}

TEST(MkfsPlan, AShortLeaseGetsAFastHeartbeat) {
    const auto with = [](std::uint32_t lease) { return [lease](Options& o) { o.lease_ms = lease; }; };
    const Plan plan = plan_for(large, with(1000));
    EXPECT_EQ(plan.problem, "");
    EXPECT_EQ(plan.superblock.heartbeat_ms, 125U);
    EXPECT_EQ(plan.superblock.io_timeout_ms, 125U);
    ASSERT_EQ(plan.notes.size(), 1U);
    EXPECT_TRUE(mentions(plan.notes[0], "heartbeat set to 125 ms"));
    EXPECT_TRUE(plan_for(large, with(2000)).notes.empty()) << "500 ms is a quarter of 2000 ms";

    const Plan refused = plan_for(large, [](Options& o) {
        o.lease_ms = 1000;
        o.heartbeat_ms = 500;
    });
    EXPECT_TRUE(refused.usage) << "what was asked for is not changed silently";
    EXPECT_TRUE(mentions(refused.problem, "--heartbeat-ms 500"));
}

TEST(MkfsPlan, TheJournalIsRoundedUpToPages) {
    const Plan plan = plan_for(large, [](Options& o) { o.area_bytes = 100'000; });
    EXPECT_EQ(plan.superblock.geometry.area_bytes, 102'400U);
    ASSERT_EQ(plan.notes.size(), 1U);
    EXPECT_TRUE(mentions(plan.notes[0], "102400"));
}

TEST(MkfsPlan, ASmallDeviceGetsTheLargestJournalThatFits) {
    for (std::uint64_t area = limits::area_bytes_min; area < limits::area_bytes_default; area *= 2) {
        const std::uint64_t least = disk::bytes_needed(512, 16, area);
        EXPECT_EQ(plan_for({least, 512}).superblock.geometry.area_bytes, area);
        const Plan almost = plan_for({disk::bytes_needed(512, 16, area * 2) - 1, 512});
        EXPECT_EQ(almost.superblock.geometry.area_bytes, area);
        ASSERT_EQ(almost.notes.size(), 1U);
    }
}

TEST(MkfsPlan, TooSmallSaysHowMuchIsNeeded) {
    const std::uint64_t least = disk::bytes_needed(512, 16, limits::area_bytes_min);
    for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{511}, std::uint64_t{4096}, least - 1}) {
        const Plan plan = plan_for({bytes, 512});
        EXPECT_FALSE(plan.usage);
        EXPECT_TRUE(mentions(plan.problem, "need " + std::to_string(least) + " bytes")) << plan.problem;
        EXPECT_TRUE(mentions(plan.problem, "has " + std::to_string(bytes) + " bytes")) << plan.problem;
    }
    EXPECT_EQ(plan_for({least, 512}).problem, "");
    const Plan fixed = plan_for({1 << 20, 512}, [](Options& o) { o.area_bytes = 1 << 20; });
    EXPECT_TRUE(mentions(fixed.problem, std::to_string(disk::bytes_needed(512, 16, 1 << 20)))) << fixed.problem;
}

TEST(MkfsPlan, BytesForPeople) {
    EXPECT_EQ(bytes_text(511), "511 bytes");
    EXPECT_EQ(bytes_text(65536), "65536 bytes (64 KiB)");
    EXPECT_EQ(bytes_text(1536 << 10), "1572864 bytes (1.5 MiB)");
}

}  // namespace
}  // namespace sdlm::tools::mkfs
