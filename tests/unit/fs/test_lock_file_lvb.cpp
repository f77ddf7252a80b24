// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "fs/lock_file.hpp"
#include "tests/unit/fs/fake_port.hpp"

namespace sdlm::fs::test {

class LvbTest : public testing::Test {
protected:
    LvbTest() {
        file.open(1, {.level = Mode::EX, .nonblock = false}, effects);
        file.granted(port.grant(handle), effects);
        file.open(2, {.level = Mode::PR, .nonblock = false}, effects);
    }
    static Handle opened(FakePort& port, NoEvents& events) {
        EXPECT_TRUE(port.join("d", events));
        return *port.open({"d", "lock"});
    }
    int write(OpenId id, std::uint64_t offset, const std::string& text) {
        return file.write(id, offset, std::as_bytes(std::span(text)));
    }
    std::string read(std::uint64_t offset, std::size_t size) {
        std::array<char, 256> out{};
        const std::size_t count = file.read(offset, std::as_writable_bytes(std::span(out)).first(size));
        return {out.data(), count};
    }

    NoEvents events;
    FakePort port;
    Handle handle = opened(port, events);
    LockFile file{port, handle};
    Effects effects;
};

TEST_F(LvbTest, FreshIsSixtyFourZeros) {
    EXPECT_EQ(read(0, 200), std::string(64, '\0'));
    EXPECT_EQ(read(60, 200), std::string(4, '\0'));
    EXPECT_EQ(read(64, 1), "");
    EXPECT_EQ(read(1'000'000, 1), "");
}

TEST_F(LvbTest, ShortValueIsPaddedWithZeros) {
    port.only().lvb.length = 3;
    std::memcpy(port.only().lvb.bytes.data(), "abcXYZ", 6);
    EXPECT_EQ(read(0, 6), std::string("abc\0\0\0", 6));
    EXPECT_EQ(read(0, 100).size(), 64U);
}

TEST_F(LvbTest, WriteHonoursTheOffsetAndKeepsTheRest) {
    EXPECT_EQ(write(1, 0, "0123456789"), 10);
    EXPECT_EQ(write(1, 4, "AB"), 2);
    EXPECT_EQ(read(0, 10), "0123AB6789");
    EXPECT_EQ(port.only().lvb.length, 64);
}

TEST_F(LvbTest, WriteIsCutAtTheEnd) {
    EXPECT_EQ(write(1, 60, "abcdefgh"), 4);
    EXPECT_EQ(read(60, 10), "abcd");
    EXPECT_EQ(write(1, 0, std::string(100, 'x')), 64);
    EXPECT_EQ(write(1, 64, "a"), -ENOSPC);
    EXPECT_EQ(write(1, 64, ""), -ENOSPC);
    EXPECT_EQ(write(1, UINT64_MAX, "a"), -ENOSPC);
    EXPECT_EQ(write(1, 3, ""), 0);
}

TEST_F(LvbTest, OnlyExclusiveDescriptorsWrite) {
    EXPECT_EQ(write(2, 0, "a"), -EBADF);
    EXPECT_EQ(write(9, 0, "a"), -EBADF);
    EXPECT_EQ(port.only().lvb.version, 0U);
}

TEST_F(LvbTest, NotValidReadsNothingUntilWritten) {
    write(1, 0, "old value");
    port.only().lvb.valid = false;
    EXPECT_EQ(read(0, 64), "");
    EXPECT_EQ(write(1, 4, "new"), 3);
    EXPECT_TRUE(port.only().lvb.valid);
    EXPECT_EQ(read(0, 8), std::string("\0\0\0\0new\0", 8)) << "no remains of a value that was not valid";
}

}  // namespace sdlm::fs::test
