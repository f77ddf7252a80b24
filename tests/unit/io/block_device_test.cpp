// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/io/block_device.hpp"

#include <gtest/gtest.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <linux/magic.h>
#include <vector>

#include "tests/support/loop_device.hpp"
#include "tests/support/temp_dir.hpp"

namespace sdlm::disk {
namespace {

std::vector<std::byte> pattern(std::size_t bytes, unsigned seed) {
    std::vector<std::byte> out(bytes);
    for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>((i * 7 + i / 512 + seed) & 0xff);
    return out;
}

TEST(BlockDevice, RefusesWhatIsNotThereOrNotADevice) {
    const test::TempDir dir;
    const auto missing = BlockDevice::open(dir.file("none"), {});
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Errc::not_found);
    EXPECT_EQ(missing.error().os_errno, ENOENT);
    const auto folder = BlockDevice::open(dir.path(), {});
    ASSERT_FALSE(folder);
    EXPECT_EQ(folder.error().code, Errc::bad_argument);
    EXPECT_FALSE(BlockDevice::open("/dev/null", {}));
}

TEST(BlockDevice, FileKeepsWhatWasWritten) {
    const test::TempDir dir;
    const std::string path = dir.make_file("image", 1 << 20);
    const auto bytes = pattern(600 * 1024, 3);      // several internal chunks, the last one short
    {
        auto device = BlockDevice::open(path, {.writable = true});
        ASSERT_TRUE(device);
        EXPECT_EQ(device->bytes(), 1U << 20);
        EXPECT_FALSE(device->is_block_device());
        ASSERT_TRUE(device->write(4096, bytes));
        ASSERT_TRUE(device->flush());
    }
    auto device = BlockDevice::open(path, {});
    ASSERT_TRUE(device);
    std::vector<std::byte> back(bytes.size());
    ASSERT_TRUE(device->read(4096, back));
    EXPECT_EQ(back, bytes);
    EXPECT_FALSE(device->write(4096, bytes));       // opened for reading
}

TEST(BlockDevice, RefusesPartsOfBlocksAndWhatLiesBeyondTheEnd) {
    const test::TempDir dir;
    auto device = BlockDevice::open(dir.make_file("image", 8192), {.writable = true});
    ASSERT_TRUE(device);
    std::vector<std::byte> block(4096);
    EXPECT_EQ(device->read(100, block).error().code, Errc::bad_argument);
    EXPECT_EQ(device->read(0, std::span(block).first(100)).error().code, Errc::bad_argument);
    EXPECT_EQ(device->write(1, block).error().code, Errc::bad_argument);
    const auto past = device->read(8192, block);
    ASSERT_FALSE(past);
    EXPECT_EQ(past.error().code, Errc::short_transfer);
    EXPECT_EQ(past.error().offset, 8192U);
    EXPECT_EQ(device->write(8192, block).error().code, Errc::short_transfer);
    EXPECT_EQ(device->read(~0ULL / 4096 * 4096, block).error().code, Errc::short_transfer);
    EXPECT_TRUE(device->read(4096, block));
}

TEST(BlockDevice, WithoutDirectIoItIsBuffered) {
    struct statfs shm{};
    if (::statfs("/dev/shm", &shm) != 0 || shm.f_type != TMPFS_MAGIC) GTEST_SKIP() << "/dev/shm is no tmpfs";
    const test::TempDir dir("/dev/shm");
    auto device = BlockDevice::open(dir.make_file("image", 65536), {.writable = true});
    ASSERT_TRUE(device);
    const auto bytes = pattern(4096, 9);
    ASSERT_TRUE(device->write(8192, bytes));
    std::vector<std::byte> back(4096);
    ASSERT_TRUE(device->read(8192, back));
    EXPECT_EQ(back, bytes);
    EXPECT_EQ(device->logical_block_bytes(), 512U);
    // tmpfs learnt O_DIRECT in Linux 6.6; before that the fallback must have been taken.
    EXPECT_TRUE(device->direct() || device->fd() >= 0);
}

class BlockDeviceOnLoop : public testing::TestWithParam<std::uint32_t> {};

TEST_P(BlockDeviceOnLoop, KnowsItsSizeAndBlock) {
    const test::TempDir dir;
    const std::string file = dir.make_file("image", 1 << 20);
    std::string reason;
    const auto loop = test::LoopDevice::attach(file, {.block_bytes = GetParam()}, reason);
    if (loop == nullptr) GTEST_SKIP() << reason;
    auto device = BlockDevice::open(loop->path(), {.writable = true, .exclusive = true});
    ASSERT_TRUE(device) << describe(device.error());
    EXPECT_TRUE(device->is_block_device());
    EXPECT_TRUE(device->direct());
    EXPECT_EQ(device->bytes(), 1U << 20);
    EXPECT_EQ(device->logical_block_bytes(), GetParam());
    const auto second = BlockDevice::open(loop->path(), {.writable = true, .exclusive = true});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Errc::busy);

    const auto bytes = pattern(8192, 1);
    ASSERT_TRUE(device->write((1 << 20) - 8192, bytes));
    std::vector<std::byte> back(8192);
    ASSERT_TRUE(device->read((1 << 20) - 8192, back));
    EXPECT_EQ(back, bytes);
    std::vector<std::byte> small(512);
    EXPECT_EQ(device->read(512, small).has_value(), GetParam() == 512);
    EXPECT_EQ(device->read(1 << 20, back).error().code, Errc::short_transfer);
}

INSTANTIATE_TEST_SUITE_P(Blocks, BlockDeviceOnLoop, testing::Values(512U, 4096U));

}  // namespace
}  // namespace sdlm::disk
