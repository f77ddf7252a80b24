// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/disk/random_values.hpp"

namespace sdlm::disk {
namespace {

using test::patched;

std::vector<std::byte> encoded(const Superblock& superblock, std::uint64_t offset) {
    std::vector<std::byte> out(superblock_bytes, std::byte{0xee});
    encode(superblock, offset, out);
    return out;
}

void expect_error(const std::vector<std::byte>& bytes, std::uint64_t offset, Errc code, const std::string& field) {
    const auto result = decode_superblock(bytes, offset);
    ASSERT_FALSE(result) << field;
    EXPECT_EQ(result.error().code, code) << describe(result.error());
    EXPECT_EQ(result.error().field, field);
    EXPECT_EQ(result.error().offset, offset);
}

TEST(Superblock, RoundTrip) {
    Prng prng(41);
    for (int i = 0; i < 3000; ++i) {
        const Superblock superblock = test::random_superblock(prng);
        const std::uint64_t offset = prng.one_in(2) ? 0 : superblock.geometry.backup_offset();
        auto bytes = encoded(superblock, offset);
        bytes.resize(4096, std::byte{0xee});                     // what lies behind the record does not matter
        const auto back = decode_superblock(bytes, offset);
        ASSERT_TRUE(back) << describe(back.error());
        ASSERT_EQ(*back, superblock);
    }
}

TEST(Superblock, EveryFlippedBitIsDetected) {
    Prng prng(42);
    test::expect_every_flip_detected(encoded(test::random_superblock(prng), 0), [](const auto& bytes) {
        return decode_superblock(bytes, 0).has_value();
    });
}

TEST(Superblock, TheBackupIsNotTakenForTheFirst) {
    Prng prng(43);
    const Superblock superblock = test::random_superblock(prng);
    const std::uint64_t backup = superblock.geometry.backup_offset();
    expect_error(encoded(superblock, 0), backup, Errc::wrong_block, "superblock.offset");
    expect_error(encoded(superblock, backup), 0, Errc::wrong_block, "superblock.offset");
}

TEST(Superblock, NamesTheBadField) {
    Prng prng(44);
    const auto good = encoded(test::random_superblock(prng), 0);
    expect_error(std::vector<std::byte>(511), 0, Errc::short_transfer, "superblock");
    expect_error(std::vector<std::byte>(512), 0, Errc::bad_magic, "superblock.magic");
    auto flipped = good;
    flipped[0x60] ^= std::byte{0x10};
    expect_error(flipped, 0, Errc::bad_checksum, "superblock.crc");
    expect_error(patched(good, 0x08, std::uint16_t{2}), 0, Errc::bad_version, "superblock.version");
    expect_error(patched(good, 0x30, std::uint32_t{1}), 0, Errc::bad_version, "superblock.incompat");
    expect_error(patched(good, 0x0a, std::uint16_t{0}), 0, Errc::bad_field, "superblock.node");
    auto no_uuid = patched(good, 0x18, std::uint64_t{0});
    expect_error(patched(no_uuid, 0x20, std::uint64_t{0}), 0, Errc::bad_field, "superblock.uuid");
    expect_error(patched(good, 0x34, std::uint32_t{1024}), 0, Errc::bad_field, "block_bytes");
    expect_error(patched(good, 0x38, std::uint32_t{0}), 0, Errc::bad_field, "slot_count");
    expect_error(patched(good, 0x40, std::uint64_t{4096}), 0, Errc::bad_field, "area_bytes");
    expect_error(patched(good, 0x48, std::uint64_t{4096}), 0, Errc::bad_field, "volume_bytes");
    expect_error(patched(good, 0x3c, std::uint32_t{1}), 0, Errc::bad_field, "heartbeat_ms");
    expect_error(patched(good, 0x3c, UINT32_MAX), 0, Errc::bad_field, "heartbeat_ms");
    expect_error(patched(good, 0x50, std::uint32_t{999}), 0, Errc::bad_field, "lease_ms");
    expect_error(patched(good, 0x50, std::uint32_t{600'001}), 0, Errc::bad_field, "lease_ms");
    expect_error(patched(good, 0x54, std::uint32_t{49}), 0, Errc::bad_field, "io_timeout_ms");
    expect_error(patched(good, 0x60, std::uint8_t{'\n'}), 0, Errc::bad_field, "superblock.label");
    expect_error(patched(good, 0x0c, std::uint32_t{1}), 0, Errc::bad_field, "superblock.reserved");
    for (std::size_t at : {0x80U, 0x1ffU})
        expect_error(patched(good, at, std::uint8_t{1}), 0, Errc::bad_field, "superblock.reserved");
}

TEST(Superblock, UnknownCompatBitsAreKept) {
    Prng prng(45);
    const auto good = encoded(test::random_superblock(prng), 0);
    const auto read = decode_superblock(patched(patched(good, 0x28, ~0U), 0x2c, ~0U), 0);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->compat, ~0U);
    EXPECT_EQ(read->ro_compat, ~0U);
}

TEST(Superblock, RandomBytesNeverCrash) {
    Prng prng(46);
    const auto good = encoded(test::random_superblock(prng), 0);
    for (int i = 0; i < 20'000; ++i) {
        auto bytes = good;
        for (std::uint64_t n = 1 + prng.below(8); n > 0; --n)
            bytes[prng.below(bytes.size())] = static_cast<std::byte>(prng.next());
        test::reseal(bytes);
        static_cast<void>(decode_superblock(bytes, 0));
        ASSERT_FALSE(decode_superblock(test::random_bytes(prng, 512), 0));
    }
}

}  // namespace
}  // namespace sdlm::disk
