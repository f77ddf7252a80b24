// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "fs/mount_point.hpp"

namespace sdlm::fs {

class MountPoint : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = std::filesystem::temp_directory_path() / "sdlm-mount-point-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder = std::filesystem::canonical(pattern);
    }
    void TearDown() override { std::filesystem::remove_all(folder); }
    std::filesystem::path folder;
    std::string message;
};

TEST_F(MountPoint, AnExistingDirectoryIsMadeAbsolute) {
    std::filesystem::create_directory(folder / "m");
    std::filesystem::create_directory_symlink(folder, folder / "link");
    const auto point = usable_mount_point((folder / "link" / "m" / "").string(), message);
    ASSERT_TRUE(point) << message;
    EXPECT_EQ(*point, (folder / "m").string());
}

TEST_F(MountPoint, ErrorsNameThePathAndWhatToDo) {
    const auto missing = usable_mount_point((folder / "none").string(), message);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Errc::not_found);
    EXPECT_NE(message.find((folder / "none").string()), std::string::npos) << message;
    EXPECT_NE(message.find("mkdir"), std::string::npos) << message;

    std::ofstream(folder / "file") << "x";
    const auto file = usable_mount_point((folder / "file").string(), message);
    ASSERT_FALSE(file);
    EXPECT_EQ(file.error().os_errno, ENOTDIR);
    EXPECT_NE(message.find("not a directory"), std::string::npos) << message;

    for (const std::string bad : {"", "/", ".", "..", "/no/such/parent/m"}) {
        EXPECT_FALSE(usable_mount_point(bad, message)) << bad;
        EXPECT_FALSE(message.empty());
    }
}

}  // namespace sdlm::fs
