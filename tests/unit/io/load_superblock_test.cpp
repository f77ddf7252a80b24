// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "disk/base/limits.hpp"
#include "disk/base/prng.hpp"
#include "disk/format/slot.hpp"
#include "disk/io/block_device.hpp"
#include "tests/support/loop_device.hpp"
#include "tests/support/temp_dir.hpp"

namespace sdlm::disk {
namespace {

constexpr std::uint64_t page = limits::page_bytes;

class LoadSuperblock : public testing::Test {
protected:
    LoadSuperblock() {
        superblock_.uuid.bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
        superblock_.label = "test";
        superblock_.geometry = {512, 4, limits::area_bytes_min, bytes_needed(512, 4, limits::area_bytes_min)};
        superblock_.heartbeat_ms = limits::heartbeat_ms_default;
        superblock_.lease_ms = limits::lease_ms_default;
        superblock_.io_timeout_ms = 1000;
    }

    std::uint64_t volume_bytes() const { return superblock_.geometry.volume_bytes; }

    void write_copy(std::uint64_t offset) {
        std::vector<std::byte> bytes(page);
        encode(superblock_, offset, std::span(bytes).first(superblock_bytes));
        put(offset, bytes);
    }

    void put(std::uint64_t offset, std::span<const std::byte> bytes) {
        auto device = BlockDevice::open(path_, {.writable = true});
        ASSERT_TRUE(device);
        ASSERT_TRUE(device->write(offset, bytes));
    }

    void flip_bit(std::uint64_t offset) {
        auto device = BlockDevice::open(path_, {.writable = true});
        ASSERT_TRUE(device);
        std::vector<std::byte> bytes(512);
        const std::uint64_t block = offset / 512 * 512;
        ASSERT_TRUE(device->read(block, bytes));
        bytes[offset % 512] ^= std::byte{0x10};
        ASSERT_TRUE(device->write(block, bytes));
    }

    void write_slots() {
        for (NodeIndex node = 0; node < superblock_.geometry.slot_count; ++node) {
            std::vector<std::byte> block(superblock_.geometry.block_bytes);
            SlotHeader header;
            header.node = node;
            const std::uint64_t offset = superblock_.geometry.slot_offset(node);
            encode_slot(header, 0, {}, superblock_.uuid, offset, block);
            put(offset, block);
        }
    }

    void format() {
        write_copy(superblock_offset);
        write_copy(superblock_.geometry.backup_offset());
        write_slots();
    }

    Result<LoadedSuperblock> load(bool writable = true) {
        auto device = BlockDevice::open(path_, {.writable = writable});
        EXPECT_TRUE(device);
        return load_superblock(*device, message_);
    }

    void expect_message(std::initializer_list<const char*> parts) {
        for (const char* part : parts)
            EXPECT_NE(message_.find(part), std::string::npos) << "no '" << part << "' in: " << message_;
        EXPECT_NE(message_.find(path_), std::string::npos) << message_;
    }

    Superblock superblock_;
    test::TempDir dir_;
    std::string path_ = dir_.make_file("image", bytes_needed(512, 4, limits::area_bytes_min));
    std::string message_;
};

TEST_F(LoadSuperblock, TakesTheFirstCopy) {
    format();
    const auto loaded = load();
    ASSERT_TRUE(loaded) << message_;
    EXPECT_EQ(loaded->superblock, superblock_);
    EXPECT_FALSE(loaded->from_backup);
    EXPECT_EQ(loaded->warning, "");
}

TEST_F(LoadSuperblock, OneFlippedBitLeadsToTheBackup) {
    format();
    flip_bit(0x40);
    const auto loaded = load();
    ASSERT_TRUE(loaded) << message_;
    EXPECT_EQ(loaded->superblock, superblock_);
    EXPECT_TRUE(loaded->from_backup);
    EXPECT_NE(loaded->warning.find("bad checksum"), std::string::npos) << loaded->warning;
}

TEST_F(LoadSuperblock, BothDamaged) {
    format();
    flip_bit(0x40);
    flip_bit(superblock_.geometry.backup_offset() + 0x40);
    const auto loaded = load();
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().code, Errc::bad_checksum);
    expect_message({"both superblocks", "bad checksum", "0x"});
}

TEST_F(LoadSuperblock, ABackupAloneDoesNotLetAWriterIn) {
    write_copy(superblock_.geometry.backup_offset());      // no slot of the volume is left
    ASSERT_FALSE(load());
    expect_message({"no slot", "overwritten", "backup"});
    const auto reader = load(false);
    ASSERT_TRUE(reader) << message_;
    EXPECT_TRUE(reader->from_backup);
}

TEST_F(LoadSuperblock, TruncatedDevice) {
    format();
    std::filesystem::resize_file(path_, volume_bytes() - page);
    const auto loaded = load();
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().code, Errc::too_small);
    expect_message({"truncated", std::to_string(volume_bytes()).c_str(),
                    std::to_string(volume_bytes() - page).c_str(), "restore"});
}

TEST_F(LoadSuperblock, ZerosAndNoise) {
    ASSERT_FALSE(load());
    expect_message({"not an sdlm volume", "mkfs.sdlm"});
    std::vector<std::byte> noise(volume_bytes());
    Prng prng(7);
    for (auto& byte : noise) byte = static_cast<std::byte>(prng.below(256));
    put(0, noise);
    ASSERT_FALSE(load());
    expect_message({"not an sdlm volume"});
}

TEST_F(LoadSuperblock, TinyDevice) {
    std::filesystem::resize_file(path_, 4096);
    const auto loaded = load();
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().code, Errc::too_small);
    expect_message({"too small", "4096"});
}

TEST_F(LoadSuperblock, AnotherFormatIsNotHiddenByTheBackup) {
    format();
    superblock_.incompat = 0x80;
    write_copy(superblock_offset);
    const auto loaded = load();
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().code, Errc::bad_version);
    expect_message({"newer sdlm"});
}

TEST_F(LoadSuperblock, AnUnknownRoCompatFeatureAllowsReadingOnly) {
    superblock_.ro_compat = 1;
    format();
    const auto refused = load();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::bad_version);
    EXPECT_NE(message_.find("superblock.ro_compat"), std::string::npos) << message_;
    EXPECT_TRUE(load(false)) << message_;
}

TEST_F(LoadSuperblock, ABlockLargerThanTheVolumesIsRefused) {
    format();
    std::string reason;
    const auto loop = test::LoopDevice::attach(path_, {.block_bytes = 4096}, reason);
    if (loop == nullptr) GTEST_SKIP() << reason;
    path_ = loop->path();
    const auto loaded = load();
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().code, Errc::unsupported);
    expect_message({"4096", "512"});
}

}  // namespace
}  // namespace sdlm::disk
