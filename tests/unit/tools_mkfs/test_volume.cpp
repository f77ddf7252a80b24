// SPDX-License-Identifier: LGPL-2.1-or-later
// What mkfs.sdlm writes.
#include <filesystem>
#include <fstream>

#include "disk/base/prng.hpp"
#include "disk/io/block_device.hpp"
#include "tests/unit/tools_mkfs/mkfs_fixture.hpp"

namespace sdlm::tools::mkfs {
namespace {

void fill_with_noise(const std::string& path, std::uint64_t bytes) {
    Prng prng(3);
    std::ofstream out(path, std::ios::binary);
    for (std::uint64_t i = 0; i < bytes; ++i) out.put(static_cast<char>(prng.next()));
}

TEST_F(MkfsTest, MakesAVolumeThatIsAsAskedFor) {
    for (const std::uint32_t block : {512U, 4096U}) {
        const std::string path = new_image("a.img", image_bytes);
        ASSERT_EQ(mkfs({"-L", "lab", "-N", "3", "-b", std::to_string(block), "-U",
                        "8a6e0804-2bd0-4672-b79d-d97027f9071a", "-J", "128k", "--heartbeat-ms", "100", "--lease-ms",
                        "2000", "--io-timeout-ms", "300", path}),
                  exit_ok)
            << err_;
        const auto device = disk::BlockDevice::open(path, {});
        ASSERT_TRUE(device);
        std::string message;
        const auto loaded = load_superblock(*device, message);
        ASSERT_TRUE(loaded) << message;
        EXPECT_FALSE(loaded->from_backup);
        disk::Superblock expected;
        ASSERT_TRUE(parse_uuid("8a6e0804-2bd0-4672-b79d-d97027f9071a", expected.uuid));
        expected.label = "lab";
        expected.geometry = {block, 3, 128 << 10, image_bytes};
        expected.heartbeat_ms = 100;
        expected.lease_ms = 2000;
        expected.io_timeout_ms = 300;
        expected.created_unix = 1'700'000'000;
        EXPECT_EQ(loaded->superblock, expected);
        const std::uint64_t backup = expected.geometry.backup_offset();
        const auto copy = disk::decode_superblock(peek(path, backup, 512), backup);
        ASSERT_TRUE(copy) << describe(copy.error());
        EXPECT_EQ(*copy, expected);
    }
}

TEST_F(MkfsTest, SlotsAreFreeAndCardsEmptyWhateverWasThere) {
    const std::string path = dir_.file("noise.img");
    fill_with_noise(path, 2 << 20);
    ASSERT_EQ(mkfs({"-N", "7", path}), exit_ok) << err_;
    EXPECT_EQ(std::filesystem::file_size(path), 2U << 20);
    const disk::Superblock superblock = superblock_of(path);
    for (NodeIndex node = 0; node < 7; ++node) {
        const std::uint64_t offset = superblock.geometry.slot_offset(node);
        const auto slot = disk::decode_slot_header(peek(path, offset, 512), superblock.uuid, node, offset);
        ASSERT_TRUE(slot) << describe(slot.error());
        EXPECT_EQ(slot->state, disk::SlotState::free);
        EXPECT_TRUE(slot->incarnation.none());
        EXPECT_EQ(peek(path, superblock.geometry.card_offset(node), 4096), std::vector<std::byte>(4096));
    }
}

TEST_F(MkfsTest, NothingBehindTheVolumeIsTouched) {
    const std::string path = dir_.file("tail.img");
    fill_with_noise(path, (2 << 20) + 1000);
    const auto before = peek(path, 2 << 20, 1000);
    ASSERT_EQ(mkfs({"-N", "2", path}), exit_ok) << err_;
    EXPECT_EQ(peek(path, 2 << 20, 1000), before);
    EXPECT_EQ(std::filesystem::file_size(path), (2U << 20) + 1000);
}

TEST_F(MkfsTest, SummaryStatesTheBounds) {
    const std::string path = new_image("a.img", image_bytes);
    ASSERT_EQ(mkfs({"-L", "lab", path}), exit_ok) << err_;
    for (const char* part : {"aabb0000-0000-0000-0000-000000000000", "lab", "512 bytes", "500 ms", "8000 ms", "9990 ms",
                             "11990 ms", "4194304 bytes (4 MiB)", "node slots       16"})
        EXPECT_NE(out_.find(part), std::string::npos) << part << " is not in\n" << out_;
    EXPECT_TRUE(err_.empty()) << err_;
}

TEST_F(MkfsTest, NoteOnWhatWasChosenDifferently) {
    const std::string path = new_image("a.img", image_bytes);
    ASSERT_EQ(mkfs({"--lease-ms", "1000", path}), exit_ok) << err_;
    EXPECT_NE(out_.find("note: heartbeat set to 125 ms"), std::string::npos) << out_;
    EXPECT_NE(out_.find("note: journal of each node set to"), std::string::npos) << out_;
}

TEST_F(MkfsTest, RefusesWhatIsNoDevice) {
    const std::string missing = dir_.file("missing");
    EXPECT_EQ(mkfs({missing}), exit_failed);
    EXPECT_NE(err_.find("no such device"), std::string::npos) << err_;
    EXPECT_FALSE(std::filesystem::exists(missing));
    for (const std::string& path : {dir_.path(), std::string("/dev/null")}) {
        EXPECT_EQ(mkfs({path}), exit_failed);
        EXPECT_NE(err_.find("neither a block device nor a regular file"), std::string::npos) << err_;
    }
}

TEST_F(MkfsTest, RefusesWhatIsTooSmall) {
    for (const std::uint64_t bytes : {0U, 1U, 4096U, 8192U, 1U << 20}) {
        const std::string path = new_image("small.img", bytes);
        EXPECT_EQ(mkfs({path}), exit_failed);
        EXPECT_NE(err_.find("need 1126400 bytes"), std::string::npos) << err_;
        EXPECT_NE(err_.find("has " + std::to_string(bytes) + " bytes"), std::string::npos) << err_;
    }
}

}  // namespace
}  // namespace sdlm::tools::mkfs
