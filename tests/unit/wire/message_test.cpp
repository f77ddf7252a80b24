// SPDX-License-Identifier: LGPL-2.1-or-later
#include "locks/wire/message.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "disk/base/prng.hpp"

namespace sdlm::wire {
namespace {

LvbBytes some_lvb() {
    LvbBytes out;
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(200 + i);
    return out;
}

// Every message, each in its shortest and its longest form.
std::vector<Message> samples() {
    const Name longest = Name::of(std::string(64, 'n'));
    const Cookies cookies{0x1122334455667788, 2, ~std::uint64_t{0}, 4};
    ReservedIds all{.sequence = 9, .count = reserve_max};
    for (std::uint32_t i = 0; i < reserve_max; ++i) all.ids[i] = i * 7 + 1;
    Lock lock{.sequence = 1, .id = 2, .flags = 0x80000004, .tid = 4, .timeout_cs = 5, .mode = 5, .has_lvb = true,
              .xid = ~std::uint64_t{1}, .cookies = cookies, .lvb = some_lvb(), .name = longest};
    Unlock unlock{.sequence = 1, .id = 2, .flags = 3, .kind = UnlockKind::deadlock_cancel, .has_lvb = true, .ast = 4,
                  .argument = 5, .lksb = 6, .lvb = some_lvb()};
    Callback callback{.kind = CallbackKind::blocking, .sb_flags = 7, .mode = 5, .dead = true, .has_lvb = true,
                      .id = 0x7fffffff, .status = -5, .function = 1, .argument = 2, .lksb = 3, .lvb = some_lvb()};
    return {AskVersion{}, AskVersion{77},
            CreateLockspace{}, CreateLockspace{1, 8, 0777, longest},
            ReleaseLockspace{}, ReleaseLockspace{1, 1, 99, longest},
            SettleOwner{}, SettleOwner{1, ~std::uint64_t{0}},
            ControlReply{}, ControlReply{-1},
            Hello{}, Hello{5},
            Welcome{}, Welcome{1, 13, 42},
            Lock{}, lock,
            Unlock{}, unlock,
            Purge{}, Purge{1, -2, -3, 4},
            ReserveIds{}, ReserveIds{1, reserve_max},
            Doorbell{}, Doorbell{7},
            Reply{}, Reply{1, 16, 3, true},
            Callback{}, callback,
            ReservedIds{}, all};
}

std::string name_of(const Message& message) { return "type " + std::to_string(message.index()); }

TEST(Message, EverySampleComesBack) {
    std::vector<bool> seen(std::variant_size_v<Message>);
    for (const Message& message : samples()) {
        Packet packet;
        encode(message, packet);
        Message back;
        ASSERT_EQ(decode(packet.span(), back), nullptr) << name_of(message);
        EXPECT_TRUE(back == message) << name_of(message);
        seen[message.index()] = true;
    }
    for (std::size_t i = 1; i < seen.size(); ++i) EXPECT_TRUE(seen[i]) << "no sample of type " << i;
}

TEST(Message, ShortFormsEncodeTheSame) {
    for (const Message& message : samples()) {
        Packet whole, direct;
        encode(message, whole);
        if (const auto* lock = std::get_if<Lock>(&message)) encode(*lock, direct);
        else if (const auto* unlock = std::get_if<Unlock>(&message)) encode(*unlock, direct);
        else if (const auto* callback = std::get_if<Callback>(&message)) encode(*callback, direct);
        else continue;
        EXPECT_TRUE(std::ranges::equal(whole.span(), direct.span())) << name_of(message);
    }
}

// The wire form is a contract between library and daemon of different builds.
TEST(Message, BytesAreFixed) {
    Packet packet;
    encode(Message(Reply{0x01020304, -2, 0x0a0b0c0d, true}), packet);
    const std::vector<unsigned> expected{21, 0,    0,    0,    12,   0,    0,    0,    4,    3, 2,
                                         1,  0xfe, 0xff, 0xff, 0xff, 0x0d, 0x0c, 0x0b, 0x0a, 1};
    ASSERT_EQ(packet.size, expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i)
        EXPECT_EQ(std::to_integer<unsigned>(packet.bytes[i]), expected[i]) << i;
}

TEST(Message, EveryTruncationIsRefused) {
    for (const Message& message : samples()) {
        Packet packet;
        encode(message, packet);
        for (std::size_t length = 0; length < packet.size; ++length) {
            Message back;
            EXPECT_NE(decode(packet.span().first(length), back), nullptr) << name_of(message) << " cut to " << length;
            // The same with a length field that agrees.
            Packet lying = packet;
            lying.size = length;
            if (length >= 4) {
                for (unsigned i = 0; i < 4; ++i) lying.bytes[i] = static_cast<std::byte>(length >> (8 * i));
                EXPECT_NE(decode(lying.span(), back), nullptr) << name_of(message) << " as if " << length;
            }
        }
    }
}

TEST(Message, BytesTooManyAreRefused) {
    for (const Message& message : samples()) {
        Packet packet;
        encode(message, packet);
        if (packet.size + 4 > message_bytes_max) continue;
        for (unsigned more = 1; more <= 4; ++more) {
            Packet longer = packet;
            longer.size = packet.size + more;
            for (std::size_t i = packet.size; i < longer.size; ++i) longer.bytes[i] = std::byte{0};
            Message back;
            EXPECT_NE(decode(longer.span(), back), nullptr) << name_of(message);
            for (unsigned i = 0; i < 4; ++i) longer.bytes[i] = static_cast<std::byte>(longer.size >> (8 * i));
            EXPECT_NE(decode(longer.span(), back), nullptr) << name_of(message);
        }
    }
}

TEST(Message, EveryWrongLengthFieldIsRefused) {
    for (const Message& message : samples()) {
        Packet packet;
        encode(message, packet);
        for (const std::uint32_t lie : {0U, 1U, 7U, 8U, 0xffU, 0xffffU, 0x7fffffffU, 0xffffffffU}) {
            if (lie == packet.size) continue;
            Packet lying = packet;
            for (unsigned i = 0; i < 4; ++i) lying.bytes[i] = static_cast<std::byte>(lie >> (8 * i));
            Message back;
            EXPECT_NE(decode(lying.span(), back), nullptr) << name_of(message) << " length " << lie;
        }
    }
}

std::vector<std::byte> with_type(unsigned type, std::size_t body) {
    std::vector<std::byte> out(header_bytes + body);
    out[0] = static_cast<std::byte>(out.size());
    out[1] = static_cast<std::byte>(out.size() >> 8);
    out[4] = static_cast<std::byte>(type);
    out[5] = static_cast<std::byte>(type >> 8);
    return out;
}

TEST(Message, UnknownTypesAndReservedBitsAreRefused) {
    Message back;
    for (const unsigned type : {0U, static_cast<unsigned>(std::variant_size_v<Message>), 255U, 0x0106U, 0xffffU}) {
        for (std::size_t body = 0; body < 200; ++body) EXPECT_NE(decode(with_type(type, body), back), nullptr) << type;
    }
    auto hello = with_type(6, 4);
    ASSERT_EQ(decode(hello, back), nullptr);
    hello[6] = std::byte{1};
    EXPECT_NE(decode(hello, back), nullptr);
}

TEST(Message, ValuesOutOfRangeAreRefused) {
    const auto refused_after = [](const Message& message, std::size_t at, unsigned value) {
        Packet packet;
        encode(message, packet);
        packet.bytes[at] = static_cast<std::byte>(value);
        Message back;
        return decode(packet.span(), back) != nullptr;
    };
    constexpr std::size_t body = header_bytes;
    EXPECT_TRUE(refused_after(Lock{}, body + 21, 2)) << "has_lvb of Lock";
    EXPECT_TRUE(refused_after(Lock{}, body + 21, 1)) << "has_lvb without its bytes";
    EXPECT_TRUE(refused_after(Lock{}, body + 62, 65)) << "length of the name";
    EXPECT_TRUE(refused_after(Lock{}, body + 62, 1)) << "a name without its bytes";
    EXPECT_FALSE(refused_after(Lock{}, body + 20, 200)) << "modes are the lock manager's business";
    EXPECT_TRUE(refused_after(Unlock{}, body + 12, 2)) << "kind of unlock";
    EXPECT_TRUE(refused_after(Callback{}, body + 0, 2)) << "kind of callback";
    EXPECT_TRUE(refused_after(Callback{}, body + 3, 2)) << "dead";
    EXPECT_TRUE(refused_after(ReservedIds{}, body + 4, 241)) << "count of ids";
    EXPECT_TRUE(refused_after(ReservedIds{}, body + 7, 255)) << "a huge count of ids";
}

TEST(Message, CallbackDecoderTakesNothingElse) {
    for (const Message& message : samples()) {
        Packet packet;
        encode(message, packet);
        Callback back;
        const bool is_callback = std::holds_alternative<Callback>(message);
        EXPECT_EQ(decode(packet.span(), back) == nullptr, is_callback) << name_of(message);
        EXPECT_TRUE(!is_callback || Message(back) == message);
    }
}

// Whatever is accepted encodes to the same bytes again: no two packets mean the same, nothing is read beyond the end.
TEST(Message, RandomBytesAreRefusedOrExact) {
    Prng random(20240607);
    unsigned accepted = 0;
    for (unsigned round = 0; round < 200'000; ++round) {
        std::vector<std::byte> packet = with_type(1 + static_cast<unsigned>(random.next() % 15), random.next() % 260);
        for (std::size_t i = header_bytes; i < packet.size(); ++i)
            packet[i] = static_cast<std::byte>(random.next() % 4 == 0 ? random.next() : random.next() % 2);
        if (random.next() % 16 == 0) packet[random.next() % packet.size()] = static_cast<std::byte>(random.next());
        Message message;
        if (decode(packet, message) != nullptr) continue;
        ++accepted;
        Packet again;
        encode(message, again);
        ASSERT_TRUE(std::ranges::equal(again.span(), packet)) << name_of(message);
    }
    EXPECT_GT(accepted, 100U);
}

TEST(Message, NamesAreCutAtTheirBound) {
    EXPECT_EQ(Name::of(std::string(100, 'x')).view(), std::string(64, 'x'));
    EXPECT_EQ(Name::of({"a\0b", 3}).view(), std::string_view("a\0b", 3));
    EXPECT_EQ(Name::of("").view(), "");
}

}  // namespace
}  // namespace sdlm::wire
