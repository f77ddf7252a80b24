// SPDX-License-Identifier: LGPL-2.1-or-later
#include "locks/wire/request_ring.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "disk/base/prng.hpp"

namespace sdlm::wire {
namespace {

// Exactly the mapping, so that the sanitizer sees any step beyond it.
class Memory {
public:
    void* get() { return mapping_->bytes; }
    std::byte* ring() { return mapping_->bytes + ring_offset; }
    RingHeader& header() { return *static_cast<RingHeader*>(get()); }

private:
    struct alignas(64) Mapping {
        std::byte bytes[ring_mapping_bytes]{};
    };
    std::unique_ptr<Mapping> mapping_ = std::make_unique<Mapping>();
};

Packet unlock_packet(std::uint32_t id, bool has_lvb = false) {
    Packet packet;
    encode(Unlock{.id = id, .has_lvb = has_lvb}, packet);
    return packet;
}

std::uint32_t id_of(const Packet& packet) {
    Message message;
    EXPECT_EQ(decode(packet.span(), message), nullptr);
    const auto* unlock = std::get_if<Unlock>(&message);
    return unlock == nullptr ? 0 : unlock->id;
}

TEST(RequestRing, MessagesComeInOrderOverManyWraps) {
    Memory memory;
    RingWriter writer(memory.get());
    RingReader reader(memory.get());
    Prng random(3);
    Packet packet;
    std::uint32_t put = 0, taken = 0;
    while (taken < 20'000) {
        for (std::uint64_t n = random.below(400); n > 0; --n) {
            if (writer.put(unlock_packet(put + 1, random.one_in(2)).span(), 1) == RingWriter::Put::full) break;
            ++put;
        }
        const std::uint32_t end = reader.end();
        for (std::uint64_t n = random.below(400); n > 0 && reader.before(end); --n) {
            ASSERT_EQ(reader.take(end, packet), nullptr);
            ASSERT_EQ(id_of(packet), ++taken);
        }
    }
    EXPECT_LE(taken, put);
}

TEST(RequestRing, FullUntilTaken) {
    Memory memory;
    RingWriter writer(memory.get());
    RingReader reader(memory.get());
    std::uint32_t put = 0;
    while (writer.put(unlock_packet(put + 1).span(), 1) != RingWriter::Put::full) ++put;
    EXPECT_EQ(put, ring_bytes / unlock_packet(1).size);
    Packet packet;
    ASSERT_EQ(reader.take(reader.end(), packet), nullptr);
    EXPECT_EQ(id_of(packet), 1U);
    EXPECT_EQ(writer.put(unlock_packet(put + 1).span(), 1), RingWriter::Put::done);
    EXPECT_EQ(writer.put(unlock_packet(put + 2).span(), 1), RingWriter::Put::full);
}

TEST(RequestRing, TheFirstOfManyRings) {
    Memory memory;
    RingWriter writer(memory.get());
    RingReader reader(memory.get());
    EXPECT_EQ(writer.put(unlock_packet(1).span(), 4), RingWriter::Put::ring_bell);
    EXPECT_EQ(writer.put(unlock_packet(2).span(), 5), RingWriter::Put::done);
    EXPECT_EQ(reader.under_way(), 5U);
    EXPECT_FALSE(reader.rest()) << "there is something";
    EXPECT_EQ(writer.put(unlock_packet(3).span(), 5), RingWriter::Put::done) << "still attended";
    Packet packet;
    while (reader.before(reader.end())) ASSERT_EQ(reader.take(reader.end(), packet), nullptr);
    EXPECT_TRUE(reader.rest());
    EXPECT_EQ(writer.put(unlock_packet(4).span(), 1), RingWriter::Put::ring_bell);
}

// No message stays unseen: the reader sleeps only when it is rung for what comes next.
TEST(RequestRing, NothingIsMissedBetweenRestAndBell) {
    constexpr std::uint32_t many = 20'000;
    const auto hopeless = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    const auto in_time = [&] { return std::chrono::steady_clock::now() < hopeless; };
    Memory memory;
    std::atomic<std::uint32_t> bells = 0, taken = 0;
    std::thread client([&] {
        RingWriter writer(memory.get());
        Prng random(5);
        for (std::uint32_t id = 1; id <= many && in_time();) {
            const auto put = writer.put(unlock_packet(id).span(), 1);
            if (put != RingWriter::Put::full) ++id;
            if (put == RingWriter::Put::ring_bell) ++bells;
            // One that waits for its answer rings for nobody else.
            const bool waits = random.one_in(2);
            while (waits && taken.load() + 1 < id && in_time()) std::this_thread::yield();
        }
    });
    RingReader reader(memory.get());
    std::uint32_t answered = 0;
    bool in_order = true;
    Packet packet;
    while (taken < many && in_order && in_time()) {
        while (answered == bells.load() && in_time()) std::this_thread::yield();       // asleep until rung
        answered = bells.load();
        do {
            for (const std::uint32_t end = reader.end(); in_order && reader.before(end);)
                in_order = reader.take(end, packet) == nullptr && id_of(packet) == ++taken;
        } while (in_order && !reader.rest());
    }
    client.join();
    EXPECT_TRUE(in_order);
    EXPECT_EQ(taken, many);
}

TEST(RequestRing, ImpossiblePositionsAndLengthsAreRefused) {
    Packet packet;
    const auto refused = [&packet](std::uint32_t written, std::uint32_t length) {
        Memory memory;
        memory.header().written = written;
        for (unsigned i = 0; i < 4; ++i) memory.ring()[i] = static_cast<std::byte>(length >> (8 * i));
        RingReader reader(memory.get());
        return reader.take(reader.end(), packet) != nullptr;
    };
    EXPECT_FALSE(refused(46, 46));
    EXPECT_FALSE(refused(ring_bytes, message_bytes_max));
    EXPECT_TRUE(refused(ring_bytes + 1, 46)) << "more than a ring";
    EXPECT_TRUE(refused(~0U, 46)) << "behind the reader";
    EXPECT_TRUE(refused(7, 7)) << "no header";
    EXPECT_TRUE(refused(46, 7));
    EXPECT_TRUE(refused(46, 0)) << "would never end";
    EXPECT_TRUE(refused(46, 47)) << "beyond what was written";
    EXPECT_TRUE(refused(ring_bytes, message_bytes_max + 1));
    EXPECT_TRUE(refused(ring_bytes, ~0U));
}

// Whatever a client leaves in the memory: each take ends, and copies no more than a message.
TEST(RequestRing, RandomContents) {
    Prng random(17);
    Packet packet;
    unsigned taken = 0;
    for (unsigned round = 0; round < 3000; ++round) {
        Memory memory;
        RingReader reader(memory.get());
        for (unsigned step = 0; step < 8; ++step) {
            const std::uint32_t start = memory.header().taken;
            memory.header().written = start + static_cast<std::uint32_t>(
                random.one_in(8) ? random.next() : random.below(ring_bytes + 1));
            for (std::uint32_t i = 0; i < 400; ++i) {
                const bool small = random.one_in(2);
                memory.ring()[(start + i) % ring_bytes] =
                    static_cast<std::byte>(small ? random.below(3) : random.next());
            }
            const std::uint32_t end = reader.end();
            for (unsigned n = 0; n < 50 && reader.before(end); ++n) {
                if (reader.take(end, packet) != nullptr) break;
                ASSERT_LE(packet.size, message_bytes_max);
                ASSERT_GE(packet.size, header_bytes);
                ++taken;
            }
        }
    }
    EXPECT_GT(taken, 100U);
}

}  // namespace
}  // namespace sdlm::wire
