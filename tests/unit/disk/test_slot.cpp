// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "disk/format/layout.hpp"
#include "tests/unit/disk/random_values.hpp"

namespace sdlm::disk {
namespace {

using test::patched;

struct Fixture {
    Uuid volume{{1, 2, 3}};
    std::uint64_t offset = 0x10400;
    SlotHeader header;
    std::vector<Record> records;
    std::vector<std::byte> block;
};

Fixture make_slot(Prng& prng, std::size_t block_bytes, std::size_t record_count) {
    Fixture f;
    f.header = test::random_slot_header(prng);
    for (std::size_t i = 0; i < record_count; ++i) f.records.push_back(test::random_record(prng));
    const auto list = test::encode_list(f.records, inline_capacity(block_bytes));
    f.block.assign(block_bytes, std::byte{0xee});
    encode_slot(f.header, static_cast<std::uint32_t>(f.records.size()), list, f.volume, f.offset, f.block);
    return f;
}

Result<SlotHeader> decode(const Fixture& f, const std::vector<std::byte>& block) {
    return decode_slot_header(block, f.volume, f.header.node, f.offset);
}

void expect_error(const Fixture& f, const std::vector<std::byte>& block, Errc code, const std::string& field) {
    const auto result = decode(f, block);
    ASSERT_FALSE(result) << field;
    EXPECT_EQ(result.error().code, code) << describe(result.error());
    EXPECT_EQ(result.error().field, field);
    EXPECT_EQ(result.error().offset, f.offset);
}

TEST(Slot, RoundTrip) {
    Prng prng(21);
    for (int i = 0; i < 3000; ++i) {
        const Fixture f = make_slot(prng, prng.one_in(2) ? 512 : 4096, prng.below(40));
        const auto header = decode(f, f.block);
        ASSERT_TRUE(header) << describe(header.error());
        ASSERT_EQ(*header, f.header);
        std::vector<Record> records;
        ASSERT_TRUE(decode_slot_records(f.block, f.offset, records));
        ASSERT_EQ(records, f.records);
    }
}

TEST(Slot, RecordsMayBeEncodedInPlace) {
    Prng prng(22);
    Fixture f = make_slot(prng, 512, 1);
    std::vector<std::byte> block(512, std::byte{0xee});
    const std::size_t end = encode(f.records.at(0), block, slot_header_bytes);
    const auto list = std::span<const std::byte>(block).subspan(slot_header_bytes, end - slot_header_bytes);
    encode_slot(f.header, 1, list, f.volume, f.offset, block);
    EXPECT_EQ(block, f.block);
}

TEST(Slot, AFullSlotHasNoPadding) {
    Prng prng(23);
    Fixture f = make_slot(prng, 512, 0);
    f.records.assign(8, Record{EvictEntry{1, {{2, 3}, 4, false}}});
    const auto list = test::encode_list(f.records, inline_capacity(512));
    ASSERT_EQ(list.size(), inline_capacity(512));
    encode_slot(f.header, 8, list, f.volume, f.offset, f.block);
    std::vector<Record> records;
    EXPECT_TRUE(decode(f, f.block));
    EXPECT_TRUE(decode_slot_records(f.block, f.offset, records));
    EXPECT_EQ(records, f.records);
}

TEST(Slot, EveryFlippedBitIsDetected) {
    Prng prng(24);
    for (std::size_t block_bytes : {512U, 4096U}) {
        const Fixture f = make_slot(prng, block_bytes, 5);
        test::expect_every_flip_detected(f.block, [&f](const auto& block) { return decode(f, block).has_value(); });
    }
}

TEST(Slot, AZeroBlockHasNoMagic) {
    const Fixture f;
    for (std::size_t bytes : {512U, 4096U})
        expect_error(f, std::vector<std::byte>(bytes), Errc::bad_magic, "slot.magic");
}

TEST(Slot, ErrorsInOrder) {
    Prng prng(25);
    Fixture f = make_slot(prng, 512, 2);
    auto bad = f.block;
    bad[0x30] ^= std::byte{1};
    expect_error(f, bad, Errc::bad_checksum, "slot.crc");
    bad[4] ^= std::byte{1};
    expect_error(f, bad, Errc::bad_magic, "slot.magic");

    // All wrong at once; healed one after the other.
    auto all = patched(f.block, 0x08, std::uint16_t{2});
    all = patched(all, 0x18, ~std::uint64_t{0});
    all = patched(all, 0x10, std::uint64_t{0x10600});
    all = patched(all, 0x0a, static_cast<std::uint16_t>(f.header.node + 1));
    all = patched(all, 0x9c, std::uint8_t{6});
    expect_error(f, all, Errc::bad_version, "slot.version");
    all = patched(all, 0x08, std::uint16_t{1});
    expect_error(f, all, Errc::wrong_volume, "slot.volume");
    all = patched(all, 0x18, std::uint64_t{0x030201});
    expect_error(f, all, Errc::wrong_block, "slot.offset");
    all = patched(all, 0x10, f.offset);
    expect_error(f, all, Errc::wrong_node, "slot.node");
    all = patched(all, 0x0a, f.header.node);
    expect_error(f, all, Errc::bad_field, "slot.state");
    all = patched(all, 0x9c, static_cast<std::uint8_t>(f.header.state));
    EXPECT_EQ(all, f.block);
}

TEST(Slot, NamesTheBadField) {
    Prng prng(26);
    Fixture f = make_slot(prng, 512, 2);
    const auto& block = f.block;
    expect_error(f, patched(block, 0x9d, std::uint8_t{5}), Errc::bad_field, "slot.previous_end");
    expect_error(f, patched(block, 0x9e, std::uint16_t{4}), Errc::bad_field, "slot.flags");
    expect_error(f, patched(block, 0x70, f.header.stream.head + 1), Errc::bad_field, "slot.tail");
    expect_error(f, patched(block, 0x80, f.header.stream.last + 2), Errc::bad_field, "slot.inline_first");
    expect_error(f, patched(block, 0x0c, std::uint32_t{1}), Errc::bad_field, "slot.reserved");
    expect_error(f, patched(block, 0xb0, std::uint8_t{1}), Errc::bad_field, "slot.reserved");
    expect_error(f, patched(block, 0xbf, std::uint8_t{1}), Errc::bad_field, "slot.reserved");
    for (std::uint32_t bytes : {328U, 12U, UINT32_MAX})
        expect_error(f, patched(block, 0x98, bytes), Errc::bad_field, "slot.record_bytes");
    for (std::uint32_t count : {0U, 21U, UINT32_MAX})
        expect_error(f, patched(block, 0x94, count), Errc::bad_field, "slot.record_count");
    auto live = patched(block, 0x9c, std::uint8_t{2});
    live = patched(live, 0x28, std::uint64_t{0});
    expect_error(f, patched(live, 0x30, std::uint64_t{0}), Errc::bad_field, "slot.generation");

    Fixture empty = make_slot(prng, 512, 0);
    for (std::size_t at : {0xc0U, 0x1ffU})
        expect_error(empty, patched(empty.block, at, std::uint8_t{1}), Errc::bad_field, "slot.padding");
}

TEST(Slot, ABadRecordIsNamedWithItsPlace) {
    Prng prng(27);
    Fixture f = make_slot(prng, 512, 0);
    f.records = {EvictEntry{1, {{2, 3}, 4, false}}, FenceEntry{1, {{2, 3}, false}}};
    const auto list = test::encode_list(f.records, inline_capacity(512));
    encode_slot(f.header, 2, list, f.volume, f.offset, f.block);
    std::vector<Record> out{MemberEntry{"kept", {}}};

    auto result = decode_slot_records(patched(f.block, 0xc0 + 40, std::uint8_t{9}), f.offset, out);
    ASSERT_FALSE(result);
    EXPECT_STREQ(result.error().field, "record.kind");
    EXPECT_EQ(result.error().offset, f.offset + 0xc0 + 40);
    EXPECT_EQ(out.size(), 1U) << "half a list must not be left";

    result = decode_slot_records(patched(f.block, 0x94, std::uint32_t{1}), f.offset, out);
    ASSERT_FALSE(result);
    EXPECT_STREQ(result.error().field, "slot.record_count");
    EXPECT_EQ(out.size(), 1U);

    result = decode_slot_records(patched(f.block, 0x94, std::uint32_t{3}), f.offset, out);
    ASSERT_FALSE(result);
    EXPECT_STREQ(result.error().field, "record.length");
}

TEST(Slot, OtherSizesAreRefused) {
    const Fixture f;
    for (std::size_t bytes : {0U, 1U, 191U, 511U, 513U, 1024U, 8192U}) {
        expect_error(f, std::vector<std::byte>(bytes), Errc::short_transfer, "slot");
        std::vector<Record> out;
        EXPECT_FALSE(decode_slot_records(std::vector<std::byte>(bytes), f.offset, out));
    }
}

TEST(Slot, RandomBytesNeverCrash) {
    Prng prng(28);
    std::vector<Record> out;
    for (int i = 0; i < 5000; ++i) {
        Fixture f = make_slot(prng, 512, prng.below(6));
        for (std::uint64_t n = 1 + prng.below(8); n > 0; --n)
            f.block[prng.below(f.block.size())] = static_cast<std::byte>(prng.next());
        if (!prng.one_in(4)) test::reseal(f.block);
        if (decode(f, f.block)) static_cast<void>(decode_slot_records(f.block, f.offset, out));
        const auto noise = test::random_bytes(prng, 512);
        ASSERT_FALSE(decode(f, noise));
        static_cast<void>(decode_slot_records(noise, f.offset, out));
    }
}

TEST(SlotDeathTest, EncodeRefusesWhatDecodeWouldRefuse) {
    Prng prng(29);
    std::vector<std::byte> block(512);
    SlotHeader header = test::random_slot_header(prng);
    header.stream.tail = header.stream.head + 1;
    EXPECT_DEATH(encode_slot(header, 0, {}, Uuid{}, 0, block), "broken invariant");
}

TEST(Slot, StatesHaveNames) {
    EXPECT_STREQ(text(SlotState::free), "free");
    EXPECT_STREQ(text(SlotState::fenced), "fenced");
}

}  // namespace
}  // namespace sdlm::disk
