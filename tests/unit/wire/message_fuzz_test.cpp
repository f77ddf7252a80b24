// SPDX-License-Identifier: LGPL-2.1-or-later
// Seeded mutations of good messages, in both directions: what is accepted encodes to the same bytes, nothing is read
// beyond the packet (each has memory of exactly its size, so that the sanitizer sees it).
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "disk/base/prng.hpp"
#include "locks/wire/message.hpp"

namespace sdlm::wire {
namespace {

using Bytes = std::vector<std::byte>;

std::uint32_t any32(Prng& random) { return static_cast<std::uint32_t>(random.next()); }

Message random_message(Prng& random) {
    const Name name = Name::of(std::string(random.below(65), static_cast<char>(random.next())));
    const bool lvb = random.one_in(2);
    const auto mode = static_cast<std::uint8_t>(random.next());
    switch (random.below(15)) {
        case 0: return AskVersion{any32(random)};
        case 1: return CreateLockspace{any32(random), any32(random), any32(random), name};
        case 2: return ReleaseLockspace{any32(random), any32(random), random.next(), name};
        case 3: return SettleOwner{any32(random), random.next()};
        case 4: return ControlReply{static_cast<std::int32_t>(random.next())};
        case 5: return Hello{any32(random)};
        case 6: return Welcome{any32(random), static_cast<std::int32_t>(random.next()), random.next()};
        case 7:
            return Lock{.sequence = any32(random), .id = any32(random), .flags = any32(random), .tid = any32(random),
                        .timeout_cs = any32(random), .mode = mode, .has_lvb = lvb, .xid = random.next(),
                        .cookies = {random.next(), random.next(), random.next(), random.next()}, .name = name};
        case 8:
            return Unlock{.sequence = any32(random), .id = any32(random), .flags = any32(random),
                          .kind = random.one_in(2) ? UnlockKind::unlock : UnlockKind::deadlock_cancel, .has_lvb = lvb,
                          .ast = random.next(), .argument = random.next(), .lksb = random.next()};
        case 9: return Purge{any32(random), -1, static_cast<std::int32_t>(random.next()), any32(random)};
        case 10: return ReserveIds{any32(random), any32(random)};
        case 11: return Reply{any32(random), static_cast<std::int32_t>(random.next()), any32(random), lvb};
        case 12:
            return Callback{.kind = random.one_in(2) ? CallbackKind::completion : CallbackKind::blocking,
                            .sb_flags = mode, .mode = mode, .dead = random.one_in(2), .has_lvb = lvb,
                            .id = any32(random), .status = static_cast<std::int32_t>(random.next()),
                            .function = random.next(), .argument = random.next(), .lksb = random.next()};
        case 13: {
            ReservedIds ids{.sequence = any32(random), .count = static_cast<std::uint32_t>(random.below(241))};
            for (std::uint32_t i = 0; i < ids.count; ++i) ids.ids[i] = any32(random);
            return ids;
        }
        default: return Doorbell{any32(random)};
    }
}

Bytes bytes_of(const Message& message) {
    Packet packet;
    encode(message, packet);
    return {packet.span().begin(), packet.span().end()};
}

void mutate(Bytes& bytes, Prng& random) {
    for (std::uint64_t n = 1 + random.below(4); n > 0 && !bytes.empty(); --n) {
        const std::size_t at = random.below(bytes.size());
        switch (random.below(6)) {
            case 0: bytes[at] = static_cast<std::byte>(random.next()); break;
            case 1: bytes[at] ^= static_cast<std::byte>(1U << random.below(8)); break;
            case 2: bytes.resize(at); break;
            case 3:
                bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), static_cast<std::byte>(random.next()));
                break;
            case 4: bytes[at] = random.one_in(2) ? std::byte{0} : std::byte{0xff}; break;
            default: bytes.resize(bytes.size() + random.below(40)); break;
        }
    }
    // Mostly with a length that agrees: else nothing behind it is looked at.
    if (bytes.size() < 4 || random.one_in(8)) return;
    for (unsigned i = 0; i < 4; ++i) bytes[i] = static_cast<std::byte>(bytes.size() >> (8 * i));
}

// Exact memory, no spare capacity of a vector behind it.
struct Exact {
    explicit Exact(const Bytes& bytes) : memory(std::make_unique<std::byte[]>(bytes.size())), size(bytes.size()) {
        std::copy(bytes.begin(), bytes.end(), memory.get());
    }
    std::span<const std::byte> span() const { return {memory.get(), size}; }
    std::unique_ptr<std::byte[]> memory;
    std::size_t size;
};

TEST(MessageFuzz, RandomMessagesComeBack) {
    Prng random(20261122);
    for (unsigned round = 0; round < 100'000; ++round) {
        const Message message = random_message(random);
        const Exact packet(bytes_of(message));
        Message back;
        ASSERT_EQ(decode(packet.span(), back), nullptr) << "round " << round;
        ASSERT_TRUE(back == message) << "round " << round;
    }
}

TEST(MessageFuzz, MutatedMessagesAreRefusedOrExact) {
    Prng random(4711);
    unsigned accepted = 0, refused = 0;
    for (unsigned round = 0; round < 300'000; ++round) {
        Bytes bytes = bytes_of(random_message(random));
        mutate(bytes, random);
        const Exact packet(bytes);
        Message message;
        if (decode(packet.span(), message) != nullptr) {
            ++refused;
            continue;
        }
        ++accepted;
        Packet again;
        encode(message, again);
        ASSERT_TRUE(std::ranges::equal(again.span(), packet.span())) << "round " << round;
    }
    EXPECT_GT(accepted, 10'000U);
    EXPECT_GT(refused, 10'000U);
}

TEST(MessageFuzz, PacketsOfCallbacksEndOrAreRefused) {
    Prng random(99);
    unsigned whole = 0, cut = 0;
    for (unsigned round = 0; round < 20'000; ++round) {
        CallbackPacket packet;
        Bytes bytes;
        for (std::uint64_t n = 1 + random.below(120); n > 0; --n)
            if (!packet.append({.has_lvb = random.one_in(2), .id = any32(random), .function = random.next()})) break;
        bytes.assign(packet.span().begin(), packet.span().end());
        if (random.one_in(2)) mutate(bytes, random);
        const Exact exact(bytes);
        std::size_t at = 0, taken = 0;
        Callback callback;
        while (at < exact.size && decode_first(exact.span().subspan(at), callback, taken) == nullptr) {
            Packet again;
            encode(callback, again);
            ASSERT_TRUE(std::ranges::equal(again.span(), exact.span().subspan(at, taken))) << "round " << round;
            at += taken;
        }
        ++(at == exact.size ? whole : cut);
    }
    EXPECT_GT(whole, 5000U);
    EXPECT_GT(cut, 1000U);
}

TEST(MessageFuzz, ACallbackPacketIsFilledToItsBound) {
    CallbackPacket packet;
    unsigned put = 0;
    while (packet.append({.has_lvb = true, .id = put + 1})) ++put;
    EXPECT_EQ(put, callback_packet_bytes / (packet.size / put));
    EXPECT_LE(packet.size, callback_packet_bytes);
}

}  // namespace
}  // namespace sdlm::wire
