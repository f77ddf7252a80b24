// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "disk/base/limits.hpp"
#include "disk/format/geometry.hpp"

namespace sdlm::disk {
namespace {

Geometry smallest(std::uint32_t block_bytes, std::uint32_t slot_count, std::uint64_t area_bytes) {
    return {block_bytes, slot_count, area_bytes, bytes_needed(block_bytes, slot_count, area_bytes)};
}

TEST(Geometry, PlacesEverythingByHand) {
    const Geometry g = smallest(512, 16, 65536);
    EXPECT_EQ(g.slot_offset(0), 65536U);
    EXPECT_EQ(g.slot_offset(3), 65536U + 3 * 512);
    EXPECT_EQ(g.slots_bytes(), 8192U);
    EXPECT_EQ(g.areas_offset(), 65536U + 8192);
    EXPECT_EQ(g.area_offset(2), 65536U + 8192 + 2 * 65536);
    EXPECT_EQ(g.card_offset(2), g.area_offset(2));
    EXPECT_EQ(g.ring_pages(), 15U);
    EXPECT_EQ(g.page_offset(2, 0), g.area_offset(2) + 4096);
    EXPECT_EQ(g.page_offset(2, 14), g.area_offset(2) + 15 * 4096);
    EXPECT_EQ(g.page_offset(2, 15), g.page_offset(2, 0));
    EXPECT_EQ(g.volume_bytes, 65536U + 8192 + 16 * 65536 + 4096);
    EXPECT_EQ(g.backup_offset(), g.volume_bytes - 4096);
}

TEST(Geometry, NothingOverlapsAndAllIsAligned) {
    for (std::uint32_t block : {512U, 4096U})
        for (std::uint32_t slots : {1U, 7U, 8U, 9U, 255U}) {
            const Geometry g = smallest(block, slots, limits::area_bytes_min);
            ASSERT_TRUE(check(g));
            std::uint64_t end = superblock_offset + limits::page_bytes;
            const auto take = [&end](std::uint64_t from, std::uint64_t bytes) {
                EXPECT_GE(from, end);
                end = from + bytes;
            };
            for (NodeIndex n = 0; n < slots; ++n) take(g.slot_offset(n), block);
            for (NodeIndex n = 0; n < slots; ++n) {
                EXPECT_EQ(g.area_offset(n) % limits::page_bytes, 0U);
                take(g.card_offset(n), limits::page_bytes);
                for (std::uint64_t p = 0; p < g.ring_pages(); ++p) take(g.page_offset(n, p), limits::page_bytes);
            }
            take(g.backup_offset(), limits::page_bytes);
            EXPECT_EQ(end, g.volume_bytes);
        }
}

TEST(Geometry, NamesTheImpossibleNumber) {
    const Geometry good = smallest(512, 16, 65536);
    ASSERT_TRUE(check(good));
    std::vector<std::pair<Geometry, std::string>> cases;
    const auto with = [&](auto change, const char* field) {
        Geometry g = good;
        change(g);
        cases.emplace_back(g, field);
    };
    for (std::uint32_t bytes : {0U, 511U, 1024U, 8192U})
        with([bytes](Geometry& g) { g.block_bytes = bytes; }, "block_bytes");
    for (std::uint32_t slots : {0U, 256U, UINT32_MAX})
        with([slots](Geometry& g) { g.slot_count = slots; }, "slot_count");
    for (std::uint64_t bytes : {std::uint64_t{0}, limits::area_bytes_min - 4096, limits::area_bytes_min + 1,
                                limits::area_bytes_max + 4096, UINT64_MAX})
        with([bytes](Geometry& g) { g.area_bytes = bytes; }, "area_bytes");
    for (std::uint64_t bytes : {std::uint64_t{0}, good.volume_bytes - 4096, good.volume_bytes + 1})
        with([bytes](Geometry& g) { g.volume_bytes = bytes; }, "volume_bytes");
    for (const auto& [geometry, field] : cases) {
        const auto result = check(geometry);
        ASSERT_FALSE(result) << field;
        EXPECT_EQ(result.error().code, Errc::bad_field);
        EXPECT_EQ(result.error().field, field);
    }
}

}  // namespace
}  // namespace sdlm::disk
