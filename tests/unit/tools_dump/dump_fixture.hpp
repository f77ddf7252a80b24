// SPDX-License-Identifier: LGPL-2.1-or-later
// An image file of 4 nodes whose blocks a test writes as it likes, and dump() of it.
#pragma once
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "disk/format/page.hpp"
#include "disk/format/slot.hpp"
#include "disk/format/superblock.hpp"
#include "tests/support/temp_dir.hpp"
#include "tools/common/dump.hpp"

namespace sdlm::tools {

disk::LockEntry lock_entry(const std::string& lockspace, const std::string& name, disk::Mode held);

class DumpTest : public ::testing::Test {
protected:
    explicit DumpTest(std::uint32_t block_bytes = 512);

    // "0" or the exit code, then the two streams in out_ and err_.
    int run(const DumpOptions& options = {});
    nlohmann::json run_json(DumpOptions options = {});

    void write_superblocks();
    void write_slot(NodeIndex node, const std::vector<disk::Record>& records, const disk::StreamPosition& stream);
    void write_page(NodeIndex node, std::uint64_t number, const std::vector<disk::Record>& records);
    void write_card(NodeIndex node, const std::string& name);
    void flip_bit(std::uint64_t offset);
    void zero(std::uint64_t offset, std::size_t bytes);
    std::string content() const { return sdlm::test::read_file(path_); }

    sdlm::test::TempDir dir_;
    std::string path_;
    disk::Superblock superblock_;
    Incarnation life_{2, 77};
    std::string out_;
    std::string err_;

private:
    void poke(std::uint64_t offset, const std::vector<std::byte>& bytes);
};

}  // namespace sdlm::tools
