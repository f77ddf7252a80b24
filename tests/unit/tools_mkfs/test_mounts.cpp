// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/unit/tools_mkfs/mkfs_fixture.hpp"
#include "tools/mkfs/mounts.hpp"

namespace sdlm::tools::mkfs {
namespace {

TEST_F(MkfsTest, AMountedSourceIsRefusedEvenWithForce) {
    const std::string path = new_image("a b.img", image_bytes);
    std::string source = path;
    source.replace(source.find(' '), 1, "\\040");
    sdlm::test::write_file(mountinfo_, "not a mount line\n"
                                       "36 35 98:0 / /mnt\\040x rw shared:1 master:2 - fuse.dlmfs " + source + " rw\n");
    EXPECT_EQ(mkfs({"-f", path}), exit_failed);
    EXPECT_NE(err_.find(path + ": is mounted on /mnt x"), std::string::npos) << err_;
    EXPECT_EQ(peek(path, 0, 4096), std::vector<std::byte>(4096));
}

TEST_F(MkfsTest, OtherMountsDoNotMatter) {
    const std::string path = new_image("a.img", image_bytes);
    sdlm::test::write_file(mountinfo_, "36 35 98:0 / /mnt rw - fuse.dlmfs " + path + "x rw\n" +
                                           "37 35 0:30 / /proc rw - proc proc rw\n"
                                           "38 35 0:31 / /t rw - tmpfs a.img rw\n");
    EXPECT_EQ(mkfs({path}), exit_ok) << err_;
}

TEST_F(MkfsTest, WithoutMountinfoNothingIsAssumed) {
    const std::string path = new_image("a.img", image_bytes);
    mountinfo_ = dir_.file("none");
    EXPECT_EQ(mkfs({path}), exit_failed);
    EXPECT_NE(err_.find("cannot read"), std::string::npos) << err_;
}

}  // namespace
}  // namespace sdlm::tools::mkfs
