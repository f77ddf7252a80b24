// SPDX-License-Identifier: LGPL-2.1-or-later
// One image of each on-disk record. A change here is a change of the format: it needs a new format version or feature
// bit (disk/FORMAT.md). SDLM_UPDATE_GOLDEN=1 rewrites the images.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "disk/format/page.hpp"
#include "disk/format/slot.hpp"
#include "disk/format/superblock.hpp"
#include "tests/golden/hex_image.hpp"

namespace sdlm::disk {
namespace {

using Bytes = std::vector<std::byte>;

// Compares with the file, or writes it. Returns the bytes of the file.
Bytes golden(const std::string& name, const Bytes& encoded) {
    const std::string path = std::string(SDLM_GOLDEN_DIR) + "/" + name + ".hex";
    const std::string text = test::to_hex_image(encoded);
    if (std::getenv("SDLM_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
    std::ifstream in(path);
    std::stringstream content;
    content << in.rdbuf();
    EXPECT_TRUE(in) << path << " cannot be read";
    EXPECT_EQ(content.str(), text) << path;
    Bytes bytes;
    EXPECT_TRUE(test::from_hex_image(content.str(), bytes)) << path;
    return bytes;
}

Uuid volume() {
    Uuid uuid;
    EXPECT_TRUE(parse_uuid("8a6e0804-2bd0-4672-b79d-d97027f9071a", uuid));
    return uuid;
}

Uuid host() {
    Uuid uuid;
    EXPECT_TRUE(parse_uuid("c56a4180-65aa-42ec-a945-5fd21dec0538", uuid));
    return uuid;
}

LockEntry plain_lock() {
    LockEntry entry{{"ocfs2", "M000001"}, {}};
    entry.lock.held = Mode::PR;
    entry.lock.interest = true;
    entry.lock.ticket = 7;
    return entry;
}

LockEntry full_lock() {
    LockEntry entry{{"web", "counter"}, {}};
    LockRecord& lock = entry.lock;
    lock.held = Mode::PR;
    lock.want = Mode::EX;
    lock.phase = Phase::waiting;
    lock.noqueue = lock.convert = lock.noqueue_bast = lock.interest = lock.orphan_lvb = true;
    lock.ticket = 0x0102030405060708;
    lock.answered = 41;
    lock.owner_tag = 0xabcdef;
    lock.spared = true;
    lock.waits_for = {0x102, 0x203};
    lock.lvb.version = 5;
    lock.lvb.length = 11;
    for (std::size_t i = 0; i < lock.lvb.length; ++i) lock.lvb.bytes[i] = static_cast<std::byte>("hello world"[i]);
    return entry;
}

std::vector<Record> all_kinds() {
    return {plain_lock(), full_lock(), EvictEntry{9, {{4, 0x1122334455667788}, 1234, false, true}},
            FenceEntry{8, {{2, 0x99}, true}}, MemberEntry{"web", {}}, MemberEntry{"ocfs2", {.left = true}}};
}

Bytes encode_records(const std::vector<Record>& records) {
    Bytes out(records.size() * record_bytes_max);
    std::size_t at = 0;
    for (const Record& record : records) at = encode(record, out, at);
    out.resize(at);
    return out;
}

SlotHeader slot_header() {
    SlotHeader header;
    header.node = 3;
    header.state = SlotState::live;
    header.incarnation = {2, 0x5f3759df01020304};
    header.sequence = 812;
    header.host = host();
    header.boot = 0xb007b007b007b007;
    header.previous = {1, 0x77};
    header.previous_end = PreviousEnd::left;
    header.previous_sequence = 99;
    header.stream = {.epoch = 1, .complete = false, .tail = 3, .head = 6, .inline_first = 50, .last = 51};
    header.write_us = 310;
    header.read_us = 120;
    header.clock = 5;
    return header;
}

void expect_slot(const std::string& name, std::size_t block_bytes, const std::vector<Record>& records) {
    const std::uint64_t offset = slots_offset + 3 * block_bytes;
    Bytes block(block_bytes);
    encode_slot(slot_header(), static_cast<std::uint32_t>(records.size()), encode_records(records), volume(), offset,
                block);
    const Bytes file = golden(name, block);
    const auto header = decode_slot_header(file, volume(), 3, offset);
    ASSERT_TRUE(header) << describe(header.error());
    EXPECT_EQ(*header, slot_header());
    std::vector<Record> decoded;
    ASSERT_TRUE(decode_slot_records(file, offset, decoded));
    EXPECT_EQ(decoded, records);
}

TEST(Golden, Superblock) {
    Superblock superblock;
    superblock.uuid = volume();
    superblock.label = "cluster-a";
    superblock.geometry = {512, 16, 8 << 20, UINT64_C(1) << 30};
    superblock.heartbeat_ms = 500;
    superblock.lease_ms = 8000;
    superblock.io_timeout_ms = 1000;
    superblock.created_unix = 1'700'000'000;
    for (const auto& [name, offset] : {std::pair{"superblock", superblock_offset},
                                       std::pair{"superblock_backup", superblock.geometry.backup_offset()}}) {
        Bytes bytes(superblock_bytes);
        encode(superblock, offset, bytes);
        const auto decoded = decode_superblock(golden(name, bytes), offset);
        ASSERT_TRUE(decoded) << describe(decoded.error());
        EXPECT_EQ(*decoded, superblock);
    }
}

TEST(Golden, Records) {
    const std::vector<std::pair<std::string, Record>> records{
        {"record_lock", plain_lock()},          {"record_lock_full", full_lock()}, {"record_evict_settled", all_kinds()[2]},
        {"record_fence_retracted", all_kinds()[3]}, {"record_member", all_kinds()[4]},
        {"record_member_left", all_kinds()[5]}};
    for (const auto& [name, record] : records) {
        const Bytes file = golden(name, encode_records({record}));
        std::size_t at = 0;
        const auto decoded = decode_record(file, at);
        ASSERT_TRUE(decoded) << name << ": " << describe(decoded.error());
        EXPECT_EQ(*decoded, record) << name;
        EXPECT_EQ(at, file.size()) << name;
    }
}

TEST(Golden, Slots) {
    expect_slot("slot_512", 512, {plain_lock(), MemberEntry{"ocfs2", {}}});
    expect_slot("slot_4096", 4096, all_kinds());
}

TEST(Golden, FreeSlot) {
    SlotHeader header;
    header.node = 0;
    Bytes block(512);
    encode_slot(header, 0, {}, volume(), slots_offset, block);
    const auto decoded = decode_slot_header(golden("slot_free", block), volume(), 0, slots_offset);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(*decoded, header);
}

TEST(Golden, Page) {
    const PageHeader header{3, {2, 0x5f3759df01020304}, 5};
    const std::uint64_t offset = 0x1812000;
    const auto records = all_kinds();
    Bytes page(limits::page_bytes);
    encode_page(header, static_cast<std::uint32_t>(records.size()), encode_records(records), volume(), offset, page);
    std::vector<Record> decoded;
    const auto result = decode_page(golden("page", page), volume(), header, offset, decoded);
    ASSERT_TRUE(result) << describe(result.error());
    EXPECT_EQ(decoded, records);
}

TEST(Golden, Card) {
    const NodeCard card{.node = 3,
                        .incarnation = {2, 0x5f3759df01020304},
                        .host = host(),
                        .node_name = "alpha",
                        .host_name = "alpha.example.org",
                        .version = "0.1.0",
                        .pid = 4711,
                        .started_unix = 1'700'000'000};
    const std::uint64_t offset = 0x1811000;
    Bytes page(limits::page_bytes);
    encode_card(card, volume(), offset, page);
    const auto decoded = decode_card(golden("card", page), volume(), 3, offset);
    ASSERT_TRUE(decoded) << describe(decoded.error());
    EXPECT_EQ(*decoded, card);
}

TEST(HexImage, RoundTripAndRefusal) {
    Bytes bytes(100);
    bytes[40] = std::byte{0xab};
    Bytes back;
    ASSERT_TRUE(test::from_hex_image(test::to_hex_image(bytes), back));
    EXPECT_EQ(back, bytes);
    EXPECT_FALSE(test::from_hex_image("0000  zz\n", back));
    EXPECT_FALSE(test::from_hex_image("0000  100\n", back));
    EXPECT_FALSE(test::from_hex_image("0010  00\n0000  00\n", back));
}

}  // namespace
}  // namespace sdlm::disk
