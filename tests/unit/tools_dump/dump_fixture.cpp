// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/unit/tools_dump/dump_fixture.hpp"

#include <fstream>
#include <sstream>

namespace sdlm::tools {

namespace {
std::vector<std::byte> encode_all(const std::vector<disk::Record>& records) {
    std::vector<std::byte> out(records.size() * disk::record_bytes_max);
    std::size_t at = 0;
    for (const disk::Record& record : records) at = encode(record, out, at);
    out.resize(at);
    return out;
}
}  // namespace

disk::LockEntry lock_entry(const std::string& lockspace, const std::string& name, disk::Mode held) {
    disk::LockEntry entry{{lockspace, name}, {}};
    entry.lock.held = held;
    return entry;
}

DumpTest::DumpTest(std::uint32_t block_bytes) {
    superblock_.uuid = Uuid{{0x11, 0x22}};
    superblock_.label = "lab";
    superblock_.geometry = {block_bytes, 4, 64 << 10, 0};
    superblock_.geometry.volume_bytes = disk::bytes_needed(block_bytes, 4, 64 << 10);
    superblock_.heartbeat_ms = 125;
    superblock_.lease_ms = 1000;
    superblock_.io_timeout_ms = 125;
    superblock_.created_unix = 1'700'000'000;
    path_ = dir_.make_file("volume.img", superblock_.geometry.volume_bytes);
    write_superblocks();
    for (NodeIndex node = 0; node < 4; ++node) {
        disk::SlotHeader header;
        header.node = node;
        std::vector<std::byte> block(block_bytes);
        encode_slot(header, 0, {}, superblock_.uuid, superblock_.geometry.slot_offset(node), block);
        poke(superblock_.geometry.slot_offset(node), block);
    }
}

int DumpTest::run(const DumpOptions& options) {
    const auto device = disk::BlockDevice::open(path_, {});
    EXPECT_TRUE(device) << describe(device.error());
    std::ostringstream out;
    std::ostringstream err;
    const int code = dump(*device, options, out, err);
    out_ = out.str();
    err_ = err.str();
    return code;
}

nlohmann::json DumpTest::run_json(DumpOptions options) {
    options.json = true;
    EXPECT_EQ(run(options), 0) << err_;
    return nlohmann::json::parse(out_, nullptr, false);
}

void DumpTest::poke(std::uint64_t offset, const std::vector<std::byte>& bytes) {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset));
    for (const std::byte b : bytes) file.put(static_cast<char>(b));
    EXPECT_TRUE(file.flush());
}

void DumpTest::write_superblocks() {
    for (const std::uint64_t offset : {disk::superblock_offset, superblock_.geometry.backup_offset()}) {
        std::vector<std::byte> bytes(disk::superblock_bytes);
        encode(superblock_, offset, bytes);
        poke(offset, bytes);
    }
}

void DumpTest::write_slot(NodeIndex node, const std::vector<disk::Record>& records,
                          const disk::StreamPosition& stream) {
    disk::SlotHeader header;
    header.node = node;
    header.state = disk::SlotState::live;
    header.incarnation = life_;
    header.sequence = 812;
    header.previous = {1, 5};
    header.previous_end = disk::PreviousEnd::evicted;
    header.stream = stream;
    std::vector<std::byte> block(superblock_.geometry.block_bytes);
    const std::uint64_t offset = superblock_.geometry.slot_offset(node);
    encode_slot(header, static_cast<std::uint32_t>(records.size()), encode_all(records), superblock_.uuid, offset,
                block);
    poke(offset, block);
}

void DumpTest::write_page(NodeIndex node, std::uint64_t number, const std::vector<disk::Record>& records) {
    std::vector<std::byte> page(limits::page_bytes);
    const std::uint64_t offset = superblock_.geometry.page_offset(node, number);
    disk::encode_page({node, life_, number}, static_cast<std::uint32_t>(records.size()), encode_all(records),
                      superblock_.uuid, offset, page);
    poke(offset, page);
}

void DumpTest::write_card(NodeIndex node, const std::string& name) {
    disk::NodeCard card;
    card.node = node;
    card.incarnation = life_;
    card.node_name = name;
    card.host_name = "h1";
    card.version = "0.1.0";
    card.pid = 4711;
    card.started_unix = 1'700'000'000;
    std::vector<std::byte> page(limits::page_bytes);
    const std::uint64_t offset = superblock_.geometry.card_offset(node);
    encode_card(card, superblock_.uuid, offset, page);
    poke(offset, page);
}

void DumpTest::flip_bit(std::uint64_t offset) {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(static_cast<std::streamoff>(offset));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(static_cast<char>(byte ^ 0x10));
    EXPECT_TRUE(file.flush());
}

void DumpTest::zero(std::uint64_t offset, std::size_t bytes) { poke(offset, std::vector<std::byte>(bytes)); }

}  // namespace sdlm::tools
