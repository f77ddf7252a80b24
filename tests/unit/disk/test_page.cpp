// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/disk/random_values.hpp"

namespace sdlm::disk {
namespace {

using test::patched;

struct Fixture {
    Uuid volume{{1, 2, 3}};
    std::uint64_t offset = 0x23000;
    PageHeader header;
    std::vector<Record> records;
    std::vector<std::byte> page;
};

Fixture make_page(Prng& prng, std::size_t record_count) {
    Fixture f;
    f.header = {static_cast<NodeIndex>(prng.below(255)), {1 + prng.below(9), prng.next()}, prng.next()};
    for (std::size_t i = 0; i < record_count; ++i) f.records.push_back(test::random_record(prng));
    const auto list = test::encode_list(f.records, page_capacity);
    f.page.assign(limits::page_bytes, std::byte{0xee});
    encode_page(f.header, static_cast<std::uint32_t>(f.records.size()), list, f.volume, f.offset, f.page);
    return f;
}

void expect_error(const Fixture& f, const std::vector<std::byte>& page, Errc code, const std::string& field) {
    std::vector<Record> out{MemberEntry{"kept", {}}};
    const auto result = decode_page(page, f.volume, f.header, f.offset, out);
    ASSERT_FALSE(result) << field;
    EXPECT_EQ(result.error().code, code) << describe(result.error());
    EXPECT_EQ(result.error().field, field);
    EXPECT_EQ(result.error().offset, f.offset);
    EXPECT_EQ(out.size(), 1U);
}

TEST(Page, RoundTrip) {
    Prng prng(31);
    for (int i = 0; i < 500; ++i) {
        const Fixture f = make_page(prng, prng.below(80));
        std::vector<Record> records{MemberEntry{"before", {}}};
        ASSERT_TRUE(decode_page(f.page, f.volume, f.header, f.offset, records));
        ASSERT_EQ(records.size(), f.records.size() + 1);
        records.erase(records.begin());
        ASSERT_EQ(records, f.records);
        std::vector<Record> again;
        const auto header = decode_any_page(f.page, f.volume, f.offset, again);
        ASSERT_TRUE(header);
        ASSERT_EQ(*header, f.header);
        ASSERT_EQ(again, f.records);
    }
}

TEST(Page, EveryFlippedBitIsDetected) {
    Prng prng(32);
    const Fixture f = make_page(prng, 20);
    test::expect_every_flip_detected(f.page, [&f](const auto& page) {
        std::vector<Record> out;
        return decode_page(page, f.volume, f.header, f.offset, out).has_value();
    });
}

TEST(Page, AnotherLifeOrNumberIsStale) {
    Prng prng(33);
    const Fixture f = make_page(prng, 3);
    const auto stale = [&f](auto change, const std::string& field) {
        PageHeader expected = f.header;
        change(expected);
        std::vector<Record> out;
        const auto result = decode_page(f.page, f.volume, expected, f.offset, out);
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, Errc::stale);
        EXPECT_EQ(result.error().field, field);
        EXPECT_TRUE(out.empty());
    };
    stale([](PageHeader& h) { ++h.node; }, "page.node");
    stale([](PageHeader& h) { ++h.incarnation.generation; }, "page.generation");
    stale([](PageHeader& h) { ++h.incarnation.nonce; }, "page.generation");
    stale([](PageHeader& h) { ++h.number; }, "page.number");
}

TEST(Page, NamesTheBadField) {
    Prng prng(34);
    const Fixture f = make_page(prng, 4);
    expect_error(f, std::vector<std::byte>(4096), Errc::bad_magic, "page.magic");
    expect_error(f, std::vector<std::byte>(512), Errc::short_transfer, "page");
    auto torn = make_page(prng, 40).page;
    std::fill(torn.begin() + 512, torn.end(), std::byte{0});
    expect_error(f, torn, Errc::bad_checksum, "page.crc");
    expect_error(f, patched(f.page, 0x08, std::uint16_t{9}), Errc::bad_version, "page.version");
    expect_error(f, patched(f.page, 0x27, std::uint8_t{9}), Errc::wrong_volume, "page.volume");
    expect_error(f, patched(f.page, 0x10, f.offset + 4096), Errc::wrong_block, "page.offset");
    expect_error(f, patched(f.page, 0x0c, std::uint32_t{1}), Errc::bad_field, "page.reserved");
    expect_error(f, patched(f.page, 0x5f, std::uint8_t{1}), Errc::bad_field, "page.reserved");
    expect_error(f, patched(f.page, 0x44, std::uint32_t{4008}), Errc::bad_field, "page.record_bytes");
    expect_error(f, patched(f.page, 0x40, std::uint32_t{0}), Errc::bad_field, "page.record_count");
    expect_error(f, patched(f.page, 0x40, std::uint32_t{3}), Errc::bad_field, "page.record_count");
    expect_error(f, patched(f.page, 0xfff, std::uint8_t{1}), Errc::bad_field, "page.padding");
}

TEST(Page, RandomBytesNeverCrash) {
    Prng prng(35);
    std::vector<Record> out;
    for (int i = 0; i < 1500; ++i) {
        Fixture f = make_page(prng, prng.below(60));
        for (std::uint64_t n = 1 + prng.below(8); n > 0; --n)
            f.page[prng.below(f.page.size())] = static_cast<std::byte>(prng.next());
        if (!prng.one_in(4)) test::reseal(f.page);
        static_cast<void>(decode_any_page(f.page, f.volume, f.offset, out));
        ASSERT_FALSE(decode_any_page(test::random_bytes(prng, 4096), f.volume, f.offset, out));
        out.clear();
    }
}

NodeCard sample_card() {
    return {.node = 3,
            .incarnation = {4, 5},
            .host = {{9, 8, 7}},
            .node_name = std::string(limits::node_name_bytes, 'n'),
            .host_name = "host",
            .version = "0.1.0",
            .pid = 4711,
            .started_unix = 1'700'000'000};
}

TEST(Card, RoundTripAndFlips) {
    const NodeCard card = sample_card();
    const Uuid volume{{1}};
    std::vector<std::byte> page(limits::page_bytes, std::byte{0xee});
    encode_card(card, volume, 0x12000, page);
    const auto back = decode_card(page, volume, 3, 0x12000);
    ASSERT_TRUE(back) << describe(back.error());
    EXPECT_EQ(*back, card);
    test::expect_every_flip_detected(page, [&volume](const auto& p) {
        return decode_card(p, volume, 3, 0x12000).has_value();
    });
}

TEST(Card, NamesTheBadField) {
    const Uuid volume{{1}};
    std::vector<std::byte> page(limits::page_bytes);
    encode_card(sample_card(), volume, 0x12000, page);
    const auto expect = [&](const std::vector<std::byte>& p, Errc code, const std::string& field) {
        const auto result = decode_card(p, volume, 3, 0x12000);
        ASSERT_FALSE(result) << field;
        EXPECT_EQ(result.error().code, code);
        EXPECT_EQ(result.error().field, field);
    };
    expect(std::vector<std::byte>(4096), Errc::bad_magic, "card.magic");
    expect(std::vector<std::byte>(4095), Errc::short_transfer, "card");
    expect(patched(page, 0x0a, std::uint16_t{4}), Errc::wrong_node, "card.node");
    expect(patched(page, 0x10, std::uint64_t{0}), Errc::wrong_block, "card.offset");
    expect(patched(page, 0x18, std::uint8_t{0}), Errc::wrong_volume, "card.volume");
    expect(patched(page, 0x50, std::uint8_t{0x1b}), Errc::bad_field, "card.node_name");
    expect(patched(page, 0x95, std::uint8_t{'x'}), Errc::bad_field, "card.host_name");
    expect(patched(page, 0xef, std::uint8_t{'x'}), Errc::bad_field, "card.daemon_version");
    expect(patched(page, 0xfff, std::uint8_t{1}), Errc::bad_field, "card.reserved");
}

}  // namespace
}  // namespace sdlm::disk
