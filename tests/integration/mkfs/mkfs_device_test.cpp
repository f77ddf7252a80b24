// SPDX-License-Identifier: LGPL-2.1-or-later
// The program mkfs.sdlm on loop devices and against the signatures of real tools. Skips what the machine does not have.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "disk/io/block_device.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/loop_device.hpp"
#include "tests/support/temp_dir.hpp"

namespace sdlm::test {
namespace {

constexpr std::uint64_t image_bytes = 8 << 20;

struct Ended {
    int code;
    std::string out;
    std::string err;
};

Ended run(const std::vector<std::string>& argv) {
    ChildProcess child(argv);
    const ExitStatus status = child.wait();
    return {status.exited ? status.code : -1, child.out(), child.err()};
}
Ended mkfs(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), SDLM_MKFS);
    return run(arguments);
}

// Where Debian puts them, whatever PATH says; nullopt: not installed.
std::optional<std::string> tool(const std::string& name) {
    for (const char* folder : {"/usr/sbin/", "/sbin/", "/usr/bin/"})
        if (::access((folder + name).c_str(), X_OK) == 0) return folder + name;
    return std::nullopt;
}

std::string loaded(const std::string& device) {
    const auto opened = disk::BlockDevice::open(device, {});
    if (!opened) return describe(opened.error());
    std::string message;
    const auto superblock = load_superblock(*opened, message);
    return superblock ? "block " + std::to_string(superblock->superblock.geometry.block_bytes) : message;
}

class Mounted {
public:
    Mounted(const std::string& device, const std::string& directory)
        : directory_(directory), error_(::mount(device.c_str(), directory.c_str(), "ext2", 0, "") == 0 ? 0 : errno) {}
    ~Mounted() {
        if (error_ == 0) ::umount2(directory_.c_str(), MNT_DETACH);
    }
    Mounted(const Mounted&) = delete;
    Mounted& operator=(const Mounted&) = delete;
    int error() const { return error_; }

private:
    std::string directory_;
    int error_;
};

class MkfsDevice : public ::testing::Test {
protected:
    TempDir dir_;
    std::string file_ = dir_.make_file("image", image_bytes);
};
class MkfsBlocks : public MkfsDevice, public ::testing::WithParamInterface<std::uint32_t> {};

TEST_P(MkfsBlocks, TakesTheDevicesBlockSize) {
    std::string reason;
    const auto loop = LoopDevice::attach(file_, {.block_bytes = GetParam()}, reason);
    if (!loop) GTEST_SKIP() << "no loop device: " << reason;
    const Ended made = mkfs({loop->path()});
    ASSERT_EQ(made.code, 0) << made.err;
    EXPECT_EQ(loaded(loop->path()), "block " + std::to_string(GetParam()));

    const Ended again = mkfs({loop->path()});
    EXPECT_EQ(again.code, 1);
    EXPECT_NE(again.err.find("sdlm volume"), std::string::npos) << again.err;

    const Ended large = mkfs({"-f", "-b", "4096", loop->path()});
    EXPECT_EQ(large.code, 0) << large.err;
    EXPECT_EQ(loaded(loop->path()), "block 4096");

    const Ended small = mkfs({"-f", "-b", "512", loop->path()});
    EXPECT_EQ(small.code, GetParam() == 512 ? 0 : 1) << small.err;
    const bool refused = small.err.find("smaller than the device's logical block") != std::string::npos;
    EXPECT_EQ(refused, GetParam() == 4096) << small.err;
}
INSTANTIATE_TEST_SUITE_P(Devices, MkfsBlocks, ::testing::Values(512U, 4096U));

TEST_F(MkfsDevice, RefusesAMountedDeviceAndItsImage) {
    const auto mke2fs = tool("mke2fs");
    if (!mke2fs) GTEST_SKIP() << "mke2fs is not installed";
    std::string reason;
    const auto loop = LoopDevice::attach(file_, {}, reason);
    if (!loop) GTEST_SKIP() << "no loop device: " << reason;
    ASSERT_EQ(run({*mke2fs, "-q", "-F", loop->path()}).code, 0);
    const std::string directory = dir_.file("mnt");
    std::filesystem::create_directory(directory);
    {
        const Mounted mounted(loop->path(), directory);
        if (mounted.error() != 0) GTEST_SKIP() << "cannot mount ext2: " << std::strerror(mounted.error());
        for (const std::string& device : {loop->path(), file_}) {
            const Ended refused = mkfs({"-f", device});
            EXPECT_EQ(refused.code, 1);
            EXPECT_NE(refused.err.find("is mounted on " + directory), std::string::npos) << refused.err;
        }
    }
    EXPECT_EQ(mkfs({"-f", loop->path()}).code, 0);
}

TEST_F(MkfsDevice, RefusesADeviceThatSomebodyHasToHimself) {
    std::string reason;
    const auto loop = LoopDevice::attach(file_, {}, reason);
    if (!loop) GTEST_SKIP() << "no loop device: " << reason;
    const auto holder = disk::BlockDevice::open(loop->path(), {.writable = true, .exclusive = true});
    ASSERT_TRUE(holder);
    const Ended refused = mkfs({"-f", loop->path()});
    EXPECT_EQ(refused.code, 1);
    EXPECT_NE(refused.err.find("is in use by this host"), std::string::npos) << refused.err;
}

struct Signature {
    const char* program;
    std::vector<std::string> options;
    const char* found;
};

TEST_F(MkfsDevice, RefusesWhatRealToolsHaveMade) {
    const Signature signatures[] = {
        {"mke2fs", {"-q", "-F"}, "ext2"},
        {"mke2fs", {"-q", "-F", "-t", "ext4"}, "ext4"},
        {"mkswap", {}, "swap"},
        {"mkfs.xfs", {"-q", "-f"}, "xfs"},
        {"mkfs.btrfs", {"-q", "-f"}, "btrfs"},
    };
    int tried = 0;
    for (const Signature& signature : signatures) {
        const auto program = tool(signature.program);
        if (!program) continue;
        std::vector<std::string> argv{*program};
        argv.insert(argv.end(), signature.options.begin(), signature.options.end());
        argv.push_back(file_);
        if (run(argv).code != 0) continue;          // too small an image for some
        ++tried;
        const Ended refused = mkfs({file_});
        EXPECT_EQ(refused.code, 1);
        EXPECT_NE(refused.err.find(signature.found), std::string::npos) << refused.err;
        const Ended forced = mkfs({"-f", file_});
        EXPECT_EQ(forced.code, 0) << forced.err;
        const Ended again = mkfs({file_});
        EXPECT_NE(again.err.find("sdlm volume"), std::string::npos) << again.err;
        EXPECT_EQ(again.err.find(signature.found), std::string::npos) << "still there: " << again.err;
    }
    if (tried == 0) GTEST_SKIP() << "none of mke2fs, mkswap, mkfs.xfs, mkfs.btrfs is installed";
}

}  // namespace
}  // namespace sdlm::test
