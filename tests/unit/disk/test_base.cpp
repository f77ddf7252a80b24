// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "disk/base/crc32c.hpp"
#include "disk/base/errc.hpp"
#include "disk/base/ids.hpp"
#include "disk/base/prng.hpp"

namespace sdlm {
namespace {

std::vector<std::byte> bytes_of(const char* text) {
    std::vector<std::byte> out(std::strlen(text));
    std::memcpy(out.data(), text, out.size());
    return out;
}

// Bit by bit, as the definition says.
std::uint32_t slow_crc32c(const std::vector<std::byte>& bytes) {
    std::uint32_t crc = ~0U;
    for (std::byte b : bytes) {
        crc ^= static_cast<std::uint32_t>(b);
        for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0U);
    }
    return ~crc;
}

TEST(Crc32c, KnownValues) {
    EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283U);
    EXPECT_EQ(crc32c({}), 0U);
    EXPECT_EQ(crc32c(std::vector<std::byte>(32, std::byte{0})), 0x8a9136aaU);      // RFC 3720, B.4
    EXPECT_EQ(crc32c(std::vector<std::byte>(32, std::byte{0xff})), 0x62a8ab43U);
}

TEST(Crc32c, AgreesWithTheDefinitionAtEveryLength) {
    Prng prng(1);
    std::vector<std::byte> bytes;
    for (int length = 0; length < 100; ++length) {
        ASSERT_EQ(crc32c(bytes), slow_crc32c(bytes)) << length;
        bytes.push_back(static_cast<std::byte>(prng.next()));
    }
}

TEST(Uuid, TextRoundTrip) {
    const std::string text = "00112233-4455-6677-8899-aabbccddeeff";
    Uuid uuid;
    ASSERT_TRUE(parse_uuid(text, uuid));
    EXPECT_EQ(uuid.bytes[0], 0x00);
    EXPECT_EQ(uuid.bytes[15], 0xff);
    EXPECT_EQ(to_string(uuid), text);
    Uuid upper;
    ASSERT_TRUE(parse_uuid("00112233-4455-6677-8899-AABBCCDDEEFF", upper));
    EXPECT_EQ(upper, uuid);
}

TEST(Uuid, RefusesOtherText) {
    Uuid uuid;
    for (const char* text : {"", "00112233-4455-6677-8899-aabbccddeef", "00112233-4455-6677-8899-aabbccddeeff0",
                             "00112233x4455-6677-8899-aabbccddeeff", "0011223g-4455-6677-8899-aabbccddeeff",
                             "001122334455-6677-8899-aabbccddeeff--"})
        EXPECT_FALSE(parse_uuid(text, uuid)) << text;
    EXPECT_TRUE(uuid.none());
}

TEST(Error, DescribesCodeFieldOffsetAndErrno) {
    EXPECT_EQ(describe({.code = Errc::bad_checksum, .offset = 0x1600, .field = "slot.crc"}),
              "bad checksum in field slot.crc (offset 0x1600)");
    EXPECT_EQ(describe({.code = Errc::io, .os_errno = 5}), std::string("I/O error: ") + std::strerror(5));
    for (unsigned code = 1; code <= static_cast<unsigned>(Errc::fenced); ++code)
        EXPECT_STRNE(text(static_cast<Errc>(code)), "unknown error") << code;
}

}  // namespace
}  // namespace sdlm
