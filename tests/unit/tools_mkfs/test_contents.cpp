// SPDX-License-Identifier: LGPL-2.1-or-later
// What mkfs.sdlm finds on the device: foreign signatures and other volumes.
#include <array>
#include <string_view>

#include "disk/base/crc32c.hpp"
#include "tests/unit/tools_mkfs/mkfs_fixture.hpp"
#include "tools/mkfs/signatures.hpp"

namespace sdlm::tools::mkfs {
namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
    std::vector<std::byte> out;
    for (const char c : text) out.push_back(static_cast<std::byte>(c));
    return out;
}

// Linux swap, version 1, as mkswap writes it: header in the second half of the first page, magic at its end.
std::vector<std::byte> swap_page() {
    std::vector<std::byte> page(4096);
    page[1024] = std::byte{1};                                  // version
    page[1029] = std::byte{4};                                  // last page: 1024
    page[1036] = std::byte{0x42};                               // uuid
    const auto magic = bytes_of("SWAPSPACE2");
    std::copy(magic.begin(), magic.end(), page.end() - 10);
    return page;
}

// A DOS partition table with one Linux partition.
std::vector<std::byte> partition_sector() {
    std::vector<std::byte> sector(512);
    sector[446 + 4] = std::byte{0x83};
    sector[446 + 9] = std::byte{0x08};                          // first sector 2048
    sector[446 + 13] = std::byte{0x08};                         // 2048 sectors
    sector[510] = std::byte{0x55};
    sector[511] = std::byte{0xaa};
    return sector;
}

// ext2 as far as libblkid looks: magic, revision, block count.
std::vector<std::byte> ext2_superblock() {
    std::vector<std::byte> block(1024);
    block[0x01] = std::byte{0x04};                              // 1024 inodes
    block[0x05] = std::byte{0x10};                              // 4096 blocks
    block[0x38] = std::byte{0x53};
    block[0x39] = std::byte{0xef};
    block[0x68] = std::byte{0x42};                              // uuid
    return block;
}

TEST_F(MkfsTest, RefusesAForeignSignatureAndWipesItWithForce) {
    const struct {
        const char* name;
        std::uint64_t offset;
        std::vector<std::byte> bytes;
    } cases[] = {{"swap", 0, swap_page()}, {"dos", 0, partition_sector()}, {"ext2", 1024, ext2_superblock()}};
    for (const auto& one : cases) {
        const std::string path = new_image(std::string(one.name) + ".img", image_bytes);
        poke(path, one.offset, one.bytes);
        ASSERT_NE(find_signature(path).found.find(one.name), std::string::npos) << find_signature(path).found;
        const auto before = peek(path, 0, image_bytes);
        EXPECT_EQ(mkfs({path}), exit_failed);
        EXPECT_NE(err_.find(std::string(one.name)), std::string::npos) << err_;
        EXPECT_NE(err_.find("--force"), std::string::npos) << err_;
        EXPECT_EQ(peek(path, 0, image_bytes), before) << one.name;

        EXPECT_EQ(mkfs({"--force", path}), exit_ok) << err_;
        EXPECT_EQ(find_signature(path).found, "");
        EXPECT_EQ(superblock_of(path).geometry.volume_bytes, image_bytes);
    }
}

TEST_F(MkfsTest, RefusesAnExistingVolumeWithoutForce) {
    const std::string path = new_volume();
    const auto before = peek(path, 0, image_bytes);
    EXPECT_EQ(mkfs({"-L", "new", path}), exit_failed);
    EXPECT_NE(err_.find("sdlm volume"), std::string::npos) << err_;
    EXPECT_NE(err_.find("\"old\""), std::string::npos) << err_;
    EXPECT_EQ(peek(path, 0, image_bytes), before);
    EXPECT_EQ(mkfs({"-f", "-L", "new", path}), exit_ok) << err_;
    EXPECT_EQ(superblock_of(path).label, "new");
    EXPECT_EQ(slept_.ns, 0) << "nobody to wait for";
}

TEST_F(MkfsTest, AFlippedBitDoesNotHideAVolume) {
    const std::string path = new_volume();
    flip_bit(path, 0x60);
    EXPECT_EQ(mkfs({path}), exit_failed);
    EXPECT_NE(err_.find("sdlm volume"), std::string::npos) << err_;
    EXPECT_NE(err_.find("\"old\""), std::string::npos) << "the backup knows the label: " << err_;
}

TEST_F(MkfsTest, TwoDamagedSuperblocksStillShowAVolume) {
    const std::string path = new_volume();
    flip_bit(path, 0x60);
    flip_bit(path, image_bytes - 4096 + 0x60);
    EXPECT_EQ(mkfs({path}), exit_failed);
    EXPECT_NE(err_.find("bad checksum in field superblock.crc"), std::string::npos) << err_;
    EXPECT_EQ(mkfs({"-f", path}), exit_ok) << err_;
}

TEST_F(MkfsTest, AWipedVolumeIsNoVolume) {
    const std::string path = new_volume();
    poke(path, 0, std::vector<std::byte>(4096));
    poke(path, image_bytes - 4096, std::vector<std::byte>(4096));
    EXPECT_EQ(mkfs({path}), exit_ok) << err_;
}

TEST_F(MkfsTest, TheOldBackupOfAShrunkOrGrownVolumeIsWiped) {
    const std::string path = new_volume();
    std::vector<std::byte> zeros(4096);
    const auto grown = new_image("grown.img", image_bytes * 2);
    poke(grown, 0, peek(path, 0, image_bytes));
    ASSERT_EQ(mkfs({"-f", "-N", "2", "-J", "64k", grown}), exit_ok) << err_;
    EXPECT_EQ(peek(grown, image_bytes - 4096, 4096), zeros);
}

TEST_F(MkfsTest, ANewerVersionIsNotOverwrittenEvenWithForce) {
    const std::string path = new_volume();
    auto block = peek(path, 0, 512);
    block[8] = std::byte{2};
    const std::uint32_t crc = crc32c(std::span<const std::byte>(block).subspan(4));
    for (std::size_t i = 0; i < 4; ++i) block[i] = static_cast<std::byte>(crc >> (8 * i));
    poke(path, 0, block);
    poke(path, image_bytes - 4096, std::vector<std::byte>(4096));
    EXPECT_EQ(mkfs({"-f", path}), exit_failed);
    EXPECT_NE(err_.find("newer version"), std::string::npos) << err_;
    EXPECT_EQ(peek(path, 0, 512), block);
}

}  // namespace
}  // namespace sdlm::tools::mkfs
