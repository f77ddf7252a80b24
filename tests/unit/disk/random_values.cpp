// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/unit/disk/random_values.hpp"

#include <gtest/gtest.h>

#include "disk/base/crc32c.hpp"

namespace sdlm::disk::test {

namespace {
// Small and huge values as often as ordinary ones.
std::uint64_t random_number(Prng& prng) {
    switch (prng.below(4)) {
        case 0: return prng.below(3);
        case 1: return UINT64_MAX - prng.below(3);
        default: return prng.next() >> prng.below(64);
    }
}
bool coin(Prng& prng) { return prng.one_in(2); }

LockRecord random_lock(Prng& prng) {
    LockRecord lock;
    lock.held = static_cast<Mode>(prng.below(6));
    lock.want = static_cast<Mode>(prng.below(6));
    lock.phase = static_cast<Phase>(prng.below(3));
    lock.noqueue = coin(prng);
    lock.convert = coin(prng);
    lock.noqueue_bast = coin(prng);
    lock.interest = coin(prng);
    lock.orphan_lvb = coin(prng);
    lock.ticket = random_number(prng);
    if (coin(prng)) lock.answered = random_number(prng);
    if (coin(prng)) lock.owner_tag = random_number(prng);
    lock.spared = coin(prng);
    for (std::size_t i = 0, waits = prng.below(waits_for_max + 1); i < waits; ++i)
        lock.waits_for[i] = 1 + prng.below(1'000'000);
    if (coin(prng)) {
        lock.lvb.version = 1 + prng.below(1000);
        lock.lvb.valid = coin(prng);
        lock.lvb.length = static_cast<std::uint8_t>(prng.below(limits::lvb_bytes_max + 1));
        for (std::size_t i = 0; i < lock.lvb.length; ++i) lock.lvb.bytes[i] = static_cast<std::byte>(prng.next());
    }
    return lock;
}
}  // namespace

std::string random_text(Prng& prng, std::size_t bytes_min, std::size_t bytes_max) {
    std::string out(bytes_min + prng.below(bytes_max - bytes_min + 1), 'x');
    for (char& c : out) c = static_cast<char>('0' + prng.below(75));
    return out;
}

Uuid random_uuid(Prng& prng) {
    Uuid uuid;
    for (auto& byte : uuid.bytes) byte = static_cast<std::uint8_t>(prng.next());
    return uuid;
}

std::vector<std::byte> random_bytes(Prng& prng, std::size_t count) {
    std::vector<std::byte> out(count);
    for (auto& byte : out) byte = static_cast<std::byte>(prng.next());
    return out;
}

Record random_record(Prng& prng) {
    const auto node = static_cast<NodeIndex>(prng.below(limits::slots_max));
    const Incarnation incarnation{random_number(prng), random_number(prng)};
    switch (prng.below(8)) {
        case 0: return EvictEntry{node, {incarnation, random_number(prng), coin(prng), coin(prng)}};
        case 1: return FenceEntry{node, {incarnation, coin(prng)}};
        case 2: return MemberEntry{random_text(prng, 1, limits::lockspace_name_max), {coin(prng)}};
        default: break;
    }
    std::string name(prng.below(limits::resource_name_max + 1), '\0');
    for (char& c : name) c = static_cast<char>(prng.next());
    return LockEntry{{random_text(prng, 1, limits::lockspace_name_max), name}, random_lock(prng)};
}

LockEntry largest_lock_entry() {
    LockEntry entry{{std::string(limits::lockspace_name_max, 'L'), std::string(limits::resource_name_max, '\xff')}, {}};
    LockRecord& lock = entry.lock;
    lock.held = lock.want = Mode::EX;
    lock.phase = Phase::waiting;
    lock.noqueue = lock.convert = lock.noqueue_bast = lock.interest = lock.orphan_lvb = lock.spared = true;
    lock.waits_for.fill(UINT64_MAX);
    lock.ticket = lock.answered = lock.owner_tag = lock.lvb.version = UINT64_MAX;
    lock.lvb.length = limits::lvb_bytes_max;
    lock.lvb.bytes.fill(std::byte{0xff});
    return entry;
}

SlotHeader random_slot_header(Prng& prng) {
    SlotHeader header;
    header.node = static_cast<NodeIndex>(prng.below(limits::slots_max));
    header.state = static_cast<SlotState>(prng.below(6));
    header.incarnation = {1 + prng.below(1'000'000), random_number(prng)};
    header.sequence = random_number(prng);
    header.host = random_uuid(prng);
    header.boot = random_number(prng);
    header.previous = {random_number(prng), random_number(prng)};
    header.previous_end = static_cast<PreviousEnd>(prng.below(5));
    header.previous_sequence = random_number(prng);
    header.stream.epoch = static_cast<std::uint32_t>(prng.next());
    header.stream.complete = coin(prng);
    header.unsettled = coin(prng);
    header.stream.tail = random_number(prng) / 2;
    header.stream.head = header.stream.tail + prng.below(5000);
    header.stream.last = random_number(prng) / 2;
    header.stream.inline_first = header.stream.last + 1 - prng.below(header.stream.last + 2);
    header.write_us = static_cast<std::uint32_t>(prng.next());
    header.read_us = static_cast<std::uint32_t>(prng.next());
    header.clock = prng.next();
    return header;
}

Superblock random_superblock(Prng& prng) {
    Superblock out;
    out.uuid = random_uuid(prng);
    out.label = random_text(prng, 0, limits::label_bytes);
    out.compat = static_cast<std::uint32_t>(prng.next());
    out.ro_compat = static_cast<std::uint32_t>(prng.next());
    out.geometry.block_bytes = coin(prng) ? 512 : 4096;
    out.geometry.slot_count = static_cast<std::uint32_t>(1 + prng.below(limits::slots_max));
    out.geometry.area_bytes = limits::page_bytes * (16 + prng.below(5000));
    out.geometry.volume_bytes =
        bytes_needed(out.geometry.block_bytes, out.geometry.slot_count, out.geometry.area_bytes) +
        limits::page_bytes * prng.below(1000);
    out.lease_ms = static_cast<std::uint32_t>(limits::lease_ms_min + prng.below(100'000));
    out.heartbeat_ms = static_cast<std::uint32_t>(limits::heartbeat_ms_min + prng.below(100));
    out.io_timeout_ms = static_cast<std::uint32_t>(limits::io_timeout_ms_min + prng.below(400));
    out.created_unix = random_number(prng);
    return out;
}

std::vector<std::byte> encode_list(std::vector<Record>& records, std::size_t capacity) {
    std::vector<std::byte> out(capacity, std::byte{0xee});      // encode must overwrite every byte itself
    std::size_t at = 0;
    std::size_t count = 0;
    for (; count < records.size() && encoded_bytes(records[count]) <= capacity - at; ++count)
        at = encode(records[count], out, at);
    records.resize(count);
    out.resize(at);
    return out;
}

void reseal(std::vector<std::byte>& block) {
    const std::uint32_t crc = crc32c(std::span<const std::byte>(block).subspan(4));
    for (std::size_t i = 0; i < 4; ++i) block.at(i) = static_cast<std::byte>(crc >> (8 * i));
}

void expect_every_flip_detected(std::vector<std::byte> block,
                                const std::function<bool(const std::vector<std::byte>&)>& accepted) {
    ASSERT_TRUE(accepted(block)) << "the block is bad before any bit is flipped";
    for (std::size_t bit = 0; bit < block.size() * 8; ++bit) {
        const auto mask = static_cast<std::byte>(1U << (bit % 8));
        block[bit / 8] ^= mask;
        ASSERT_FALSE(accepted(block)) << "bit " << bit % 8 << " of byte " << bit / 8;
        block[bit / 8] ^= mask;
    }
}

}  // namespace sdlm::disk::test
