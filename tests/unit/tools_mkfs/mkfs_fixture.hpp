// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs mkfs.sdlm on image files, under a clock that moves only when mkfs sleeps.
#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "disk/format/slot.hpp"
#include "disk/format/superblock.hpp"
#include "tests/support/temp_dir.hpp"
#include "tools/mkfs/run.hpp"

namespace sdlm::tools::mkfs {

class MkfsTest : public ::testing::Test {
protected:
    static constexpr std::uint64_t image_bytes = 4 << 20;

    MkfsTest();
    // The arguments without the program's name.
    int mkfs(const std::vector<std::string>& arguments);
    // Makes a volume of 4 nodes with a lease of 1 s on a new image.
    std::string new_volume(const std::string& name = "volume.img");
    std::string new_image(const std::string& name, std::uint64_t bytes);      // sparse zeros

    disk::Superblock superblock_of(const std::string& path);                  // the first copy; fails the test
    void poke(const std::string& path, std::uint64_t offset, const std::vector<std::byte>& bytes);
    std::vector<std::byte> peek(const std::string& path, std::uint64_t offset, std::size_t bytes);
    void flip_bit(const std::string& path, std::uint64_t offset);
    // A slot of `state` of the volume on `path`.
    void write_slot(const std::string& path, NodeIndex node, disk::SlotState state, std::uint64_t sequence);
    void write_card(const std::string& path, NodeIndex node, const std::string& name);

    sdlm::test::TempDir dir_;
    std::string out_;
    std::string err_;
    Instant now_{1'000'000'000};
    Duration slept_{};
    std::function<void()> on_sleep_;
    std::string mountinfo_;
};

}  // namespace sdlm::tools::mkfs
