// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "disk/format/layout.hpp"
#include "tests/unit/disk/random_values.hpp"

namespace sdlm::disk {
namespace {

using test::largest_lock_entry;
using test::random_record;

std::vector<std::byte> encoded(const Record& record) {
    std::vector<std::byte> out(encoded_bytes(record), std::byte{0xee});
    EXPECT_EQ(encode(record, out, 0), out.size());
    return out;
}

Record plain_lock() {
    LockEntry entry{{"dom", "lock"}, {}};
    entry.lock.held = Mode::PR;
    entry.lock.interest = true;
    entry.lock.ticket = 7;
    return entry;
}

LockEntry lock_with_lvb(std::uint8_t length) {
    LockEntry entry = std::get<LockEntry>(plain_lock());
    entry.lock.lvb = {.version = 3, .valid = false, .length = length, .bytes = {}};
    for (std::size_t i = 0; i < length; ++i) entry.lock.lvb.bytes[i] = static_cast<std::byte>(i + 1);
    return entry;
}

void expect_bad(const std::vector<std::byte>& bytes, const std::string& field) {
    std::size_t at = 0;
    const auto result = decode_record(bytes, at);
    ASSERT_FALSE(result) << field;
    EXPECT_EQ(result.error().code, Errc::bad_field);
    EXPECT_EQ(result.error().field, field);
    EXPECT_EQ(at, 0U);
}

std::vector<std::byte> with_byte(std::vector<std::byte> bytes, std::size_t at, unsigned value) {
    bytes.at(at) = static_cast<std::byte>(value);
    return bytes;
}

TEST(Record, RoundTripOfRandomRecords) {
    Prng prng(11);
    for (int i = 0; i < 20'000; ++i) {
        const Record record = random_record(prng);
        const std::size_t bytes = encoded_bytes(record);
        ASSERT_EQ(bytes % 8, 0U);
        ASSERT_LE(bytes, record_bytes_max);
        std::vector<std::byte> out(8 + bytes + 8, std::byte{0xee});
        ASSERT_EQ(encode(record, out, 8), 8 + bytes);
        ASSERT_EQ(out[7], std::byte{0xee}) << "wrote before its place";
        ASSERT_EQ(out[8 + bytes], std::byte{0xee}) << "wrote behind its place";
        std::size_t at = 8;
        const auto back = decode_record(out, at);
        ASSERT_TRUE(back) << describe(back.error());
        ASSERT_EQ(at, 8 + bytes);
        ASSERT_EQ(*back, record);
    }
}

TEST(Record, TheLargestFits) {
    const LockEntry largest = largest_lock_entry();
    EXPECT_EQ(encoded_bytes(largest), layout::lock_record_bytes_max);
    EXPECT_LE(encoded_bytes(largest), record_bytes_max);
    std::size_t at = 0;
    const auto back = decode_record(encoded(largest), at);
    ASSERT_TRUE(back);
    EXPECT_EQ(std::get<LockEntry>(*back), largest);
}

TEST(Record, AnUnwrittenLvbIsNotCarried) {
    LockEntry entry{{"d", ""}, {}};
    entry.lock.lvb.valid = false;
    entry.lock.lvb.length = 64;
    EXPECT_EQ(encoded_bytes(entry), 24U);
    std::size_t at = 0;
    const auto back = decode_record(encoded(entry), at);
    ASSERT_TRUE(back);
    EXPECT_EQ(std::get<LockEntry>(*back).lock.lvb, Lvb{});
}

TEST(Record, GoneMeansThatNothingIsLeft) {
    LockRecord lock;
    lock.ticket = 9;
    lock.answered = 4;
    EXPECT_TRUE(lock.gone());
    const auto gone_with = [](auto change) {
        LockRecord changed;
        change(changed);
        return changed.gone();
    };
    EXPECT_FALSE(gone_with([](LockRecord& l) { l.held = Mode::CR; }));
    EXPECT_FALSE(gone_with([](LockRecord& l) { l.phase = Phase::trying; }));
    EXPECT_FALSE(gone_with([](LockRecord& l) { l.interest = true; }));
    EXPECT_FALSE(gone_with([](LockRecord& l) { l.orphan_lvb = true; }));
    EXPECT_FALSE(gone_with([](LockRecord& l) { l.lvb.version = 1; }));
}

TEST(Record, NamesTheBadFieldOfTheHead) {
    const auto good = encoded(plain_lock());
    for (unsigned kind : {0U, 5U, 255U}) expect_bad(with_byte(good, 0, kind), "record.kind");
    for (unsigned length : {0U, 1U, 2U, 4U, 33U, 255U}) expect_bad(with_byte(good, 1, length), "record.length");
    for (unsigned high : {0x20U, 0x80U}) expect_bad(with_byte(good, 3, high), "record.flags");
    for (unsigned modes : {0x06U, 0x0fU, 0x60U, 0xf0U}) expect_bad(with_byte(good, 4, modes), "record.mode");
    for (unsigned phase : {3U, 255U}) expect_bad(with_byte(good, 5, phase), "record.phase");
    for (unsigned bytes : {0U, 65U, 255U}) expect_bad(with_byte(good, 6, bytes), "record.lockspace");
    for (unsigned bytes : {65U, 255U}) expect_bad(with_byte(good, 7, bytes), "record.name");
    for (unsigned bytes : {6U, 64U}) expect_bad(with_byte(good, 7, bytes), "record.length");
}

TEST(Record, LengthMustBeExact) {
    auto longer = encoded(plain_lock());
    longer.resize(longer.size() + 8);
    expect_bad(with_byte(longer, 1, static_cast<unsigned>(longer.size() / 8)), "record.length");
    for (unsigned flag : {0x40U, 0x80U}) {          // optional parts that are announced, but not there
        auto empty = encoded(LockEntry{{"d", ""}, {}});
        empty.resize(16);
        empty[1] = std::byte{2};
        expect_bad(with_byte(empty, 2, flag), "record.length");
    }
}

TEST(Record, ChecksNamesAndPadding) {
    const auto good = encoded(plain_lock());
    for (unsigned byte : {unsigned{'/'}, 0x00U, 0x1fU, 0x7fU})
        expect_bad(with_byte(good, 17, byte), "record.lockspace");
    expect_bad(with_byte(good, good.size() - 1, 1), "record.reserved");
    auto utf8 = with_byte(with_byte(good, 16, 0xc3), 17, 0xa9);
    std::size_t at = 0;
    EXPECT_TRUE(decode_record(utf8, at));
}

TEST(Record, ChecksOptionalParts) {
    LockEntry entry = std::get<LockEntry>(plain_lock());
    entry.lock.answered = 1;
    expect_bad(with_byte(encoded(entry), 16, 0), "record.answered");
    entry.lock.answered = 0;
    entry.lock.owner_tag = 1;
    expect_bad(with_byte(encoded(entry), 16, 0), "record.owner_tag");

    const auto lvb = encoded(lock_with_lvb(5));
    expect_bad(with_byte(lvb, 16, 0), "record.lvb");            // version 0
    expect_bad(with_byte(lvb, 24, 65), "record.lvb");           // length
    expect_bad(with_byte(lvb, 24, 64), "record.length");
    expect_bad(with_byte(lvb, 25, 1), "record.reserved");
    expect_bad(with_byte(lvb, 32 + 5, 1), "record.reserved");   // padding of the value
    expect_bad(with_byte(encoded(plain_lock()), 2, layout::lock_lvb_valid | layout::lock_interest), "record.lvb");
}

TEST(Record, ChecksFactsAndMembers) {
    const auto evict = encoded(EvictEntry{3, {{1, 2}, 4, false}});
    const auto fence = encoded(FenceEntry{3, {{1, 2}, true}});
    const auto member = encoded(MemberEntry{"dom", {}});
    EXPECT_EQ(evict.size(), 40U);
    EXPECT_EQ(fence.size(), 32U);
    for (const auto& fact : {evict, fence}) {
        expect_bad(with_byte(fact, 2, 4), "record.flags");
        expect_bad(with_byte(fact, 8, 255), "record.node");
        expect_bad(with_byte(fact, 10, 1), "record.node");
        for (std::size_t at : {4U, 5U, 6U, 7U}) expect_bad(with_byte(fact, at, 1), "record.reserved");
        expect_bad(with_byte(fact, 1, 3), "record.length");
    }
    expect_bad(with_byte(fence, 2, 2), "record.flags");         // only an eviction is settled
    expect_bad(with_byte(evict, 0, 3), "record.length");        // an evict record that calls itself fence
    expect_bad(with_byte(member, 2, 2), "record.flags");
    expect_bad(with_byte(member, 7, 1), "record.name");
    for (std::size_t at : {4U, 5U, 8U}) expect_bad(with_byte(member, at, 1), "record.reserved");
    expect_bad(with_byte(member, 16, '/'), "record.lockspace");
}

TEST(Record, TruncatedInput) {
    Prng prng(12);
    for (int i = 0; i < 300; ++i) {
        const auto bytes = encoded(i == 0 ? Record{largest_lock_entry()} : random_record(prng));
        for (std::size_t length = 0; length < bytes.size(); ++length) {
            // A copy of its own, so that a sanitizer sees the first byte read behind it.
            const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
            expect_bad(cut, "record.length");
        }
    }
    std::size_t beyond = 99;
    EXPECT_FALSE(decode_record({}, beyond));
}

TEST(Record, RandomBytesNeverCrash) {
    Prng prng(13);
    int accepted = 0;
    for (int i = 0; i < 200'000; ++i) {
        auto bytes = test::random_bytes(prng, prng.below(80));
        if (bytes.size() > 16 && !prng.one_in(4)) {             // get past the first checks
            bytes[0] = static_cast<std::byte>(1 + prng.below(4));
            bytes[1] = static_cast<std::byte>(bytes.size() / 8);
            bytes[3] &= std::byte{1};
            bytes[4] &= std::byte{0x33};
            bytes[5] &= std::byte{1};
            bytes[6] &= std::byte{0x0f};
            bytes[7] &= std::byte{0x0f};
        }
        std::size_t at = 0;
        const auto result = decode_record(bytes, at);
        if (!result) continue;
        ++accepted;
        const auto again = encoded(*result);                    // one image per record: nothing was lost
        ASSERT_TRUE(std::equal(again.begin(), again.end(), bytes.begin()));
        ASSERT_EQ(again.size(), at);
    }
    EXPECT_GT(accepted, 0);
}

TEST(Record, MutatedRecordsNeverCrash) {
    Prng prng(14);
    for (int i = 0; i < 100'000; ++i) {
        auto bytes = encoded(random_record(prng));
        for (std::uint64_t n = 1 + prng.below(3); n > 0; --n)
            bytes[prng.below(bytes.size())] = static_cast<std::byte>(prng.next());
        std::size_t at = 0;
        const auto result = decode_record(bytes, at);
        ASSERT_LE(at, bytes.size());
        ASSERT_EQ(result.has_value(), at != 0);
    }
}

TEST(RecordDeathTest, EncodeStopsRatherThanWriteTooMuch) {
    std::vector<std::byte> out(encoded_bytes(plain_lock()) - 8);
    EXPECT_DEATH(encode(plain_lock(), out, 0), "broken invariant");
    std::vector<std::byte> large(1024);
    EXPECT_DEATH(encode(LockEntry{{std::string(65, 'x'), ""}, {}}, large, 0), "broken invariant");
    EXPECT_DEATH(encode(MemberEntry{"", {}}, large, 0), "broken invariant");
}

}  // namespace
}  // namespace sdlm::disk
