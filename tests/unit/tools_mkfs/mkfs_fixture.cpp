// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/unit/tools_mkfs/mkfs_fixture.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "disk/format/page.hpp"

namespace sdlm::tools::mkfs {

MkfsTest::MkfsTest() {
    mountinfo_ = dir_.file("mountinfo");
    sdlm::test::write_file(mountinfo_, "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n");
}

int MkfsTest::mkfs(const std::vector<std::string>& arguments) {
    std::vector<const char*> argv{"mkfs.sdlm"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    std::ostringstream out;
    std::ostringstream err;
    const Environment environment{
        .now = [this] { return now_; },
        .sleep =
            [this](Duration duration) {
                now_ = now_ + duration;
                slept_ = slept_ + duration;
                if (on_sleep_) on_sleep_();
            },
        .random_uuid = [] { return Uuid{{0xaa, 0xbb}}; },
        .unix_time = 1'700'000'000,
        .mountinfo_path = mountinfo_,
    };
    const int code = run(static_cast<int>(argv.size()), argv.data(), out, err, environment);
    out_ = out.str();
    err_ = err.str();
    return code;
}

std::string MkfsTest::new_image(const std::string& name, std::uint64_t bytes) {
    const std::string path = dir_.file(name);
    sdlm::test::write_file(path, "");
    std::filesystem::resize_file(path, bytes);
    return path;
}

std::string MkfsTest::new_volume(const std::string& name) {
    const std::string path = new_image(name, image_bytes);
    EXPECT_EQ(mkfs({"-N", "4", "--lease-ms", "1000", "-L", "old", path}), exit_ok) << err_;
    return path;
}

std::vector<std::byte> MkfsTest::peek(const std::string& path, std::uint64_t offset, std::size_t bytes) {
    std::vector<char> chars(bytes);
    std::ifstream in(path, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(offset));
    in.read(chars.data(), static_cast<std::streamsize>(bytes));
    EXPECT_TRUE(in) << path << " at " << offset;
    std::vector<std::byte> out;
    for (const char c : chars) out.push_back(static_cast<std::byte>(c));
    return out;
}

void MkfsTest::poke(const std::string& path, std::uint64_t offset, const std::vector<std::byte>& bytes) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset));
    for (const std::byte b : bytes) file.put(static_cast<char>(b));
    EXPECT_TRUE(file.flush()) << path << " at " << offset;
}

void MkfsTest::flip_bit(const std::string& path, std::uint64_t offset) {
    auto byte = peek(path, offset, 1);
    byte[0] ^= std::byte{0x10};
    poke(path, offset, byte);
}

disk::Superblock MkfsTest::superblock_of(const std::string& path) {
    const auto superblock = disk::decode_superblock(peek(path, 0, disk::superblock_bytes), 0);
    EXPECT_TRUE(superblock) << describe(superblock.error());
    return superblock ? *superblock : disk::Superblock{};
}

void MkfsTest::write_slot(const std::string& path, NodeIndex node, disk::SlotState state, std::uint64_t sequence) {
    const disk::Superblock superblock = superblock_of(path);
    disk::SlotHeader header;
    header.node = node;
    header.state = state;
    header.incarnation = {1, 77};
    header.sequence = sequence;
    std::vector<std::byte> block(superblock.geometry.block_bytes);
    const std::uint64_t offset = superblock.geometry.slot_offset(node);
    encode_slot(header, 0, {}, superblock.uuid, offset, block);
    poke(path, offset, block);
}

void MkfsTest::write_card(const std::string& path, NodeIndex node, const std::string& name) {
    const disk::Superblock superblock = superblock_of(path);
    disk::NodeCard card;
    card.node = node;
    card.node_name = name;
    card.host_name = "h1";
    std::vector<std::byte> page(limits::page_bytes);
    const std::uint64_t offset = superblock.geometry.card_offset(node);
    encode_card(card, superblock.uuid, offset, page);
    poke(path, offset, page);
}

}  // namespace sdlm::tools::mkfs
