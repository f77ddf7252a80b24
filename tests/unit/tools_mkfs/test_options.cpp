// SPDX-License-Identifier: LGPL-2.1-or-later
#include <optional>

#include "tests/unit/tools_mkfs/mkfs_fixture.hpp"
#include "tools/mkfs/options.hpp"

namespace sdlm::tools::mkfs {
namespace {

TEST(MkfsBytes, ParsesSuffixes) {
    EXPECT_EQ(parse_bytes("65536"), 65536U);
    EXPECT_EQ(parse_bytes("64k"), 65536U);
    EXPECT_EQ(parse_bytes("64K"), 65536U);
    EXPECT_EQ(parse_bytes("8M"), 8U << 20);
    EXPECT_EQ(parse_bytes("1G"), 1U << 30);
    for (const char* text : {"", "k", "8Mi", "-1", "8 M", "1.5M", "0x10", "99999999999999999999", "18014398509481984k",
                             "9999999999G"})
        EXPECT_EQ(parse_bytes(text), std::nullopt) << text;
}

TEST_F(MkfsTest, HelpAndVersion) {
    EXPECT_EQ(mkfs({"--help"}), exit_ok);
    for (const char* option : {"--label", "--node-slots", "--block-size", "--uuid", "--journal-size", "--heartbeat-ms",
                               "--lease-ms", "--io-timeout-ms", "--force", "--version", "DEVICE"})
        EXPECT_NE(out_.find(option), std::string::npos) << option;
    EXPECT_EQ(mkfs({"--version"}), exit_ok);
    EXPECT_EQ(out_, "mkfs.sdlm " SDLM_VERSION "\n");
}

TEST_F(MkfsTest, UsageErrorsNameTheArgument) {
    const std::string path = new_image("a.img", image_bytes);
    const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
        {{}, "DEVICE"},
        {{path, "other"}, "other"},
        {{"--nonsense", path}, "--nonsense"},
        {{"-N", "0", path}, "--node-slots"},
        {{"-N", "256", path}, "--node-slots"},
        {{"-N", "x", path}, "--node-slots"},
        {{"-b", "1024", path}, "--block-size"},
        {{"-L", std::string(33, 'x'), path}, "--label"},
        {{"-L", "a\nb", path}, "--label"},
        {{"-U", "12", path}, "--uuid"},
        {{"-U", "00000000-0000-0000-0000-000000000000", path}, "--uuid"},
        {{"-J", "10k", path}, "--journal-size"},
        {{"-J", "2G", path}, "--journal-size"},
        {{"-J", "many", path}, "--journal-size"},
        {{"--lease-ms", "999", path}, "--lease-ms"},
        {{"--lease-ms", "-5", path}, "--lease-ms"},
        {{"--lease-ms", "600001", path}, "--lease-ms"},
        {{"--heartbeat-ms", "9", path}, "--heartbeat-ms"},
        {{"--heartbeat-ms", "2001", path}, "--heartbeat-ms"},
        {{"--io-timeout-ms", "49", path}, "--io-timeout-ms"},
        {{"--io-timeout-ms", "4001", path}, "--io-timeout-ms"},
    };
    for (const auto& [arguments, named] : cases) {
        EXPECT_EQ(mkfs(arguments), exit_usage) << named << ": " << err_;
        EXPECT_NE(err_.find(named), std::string::npos) << err_;
        EXPECT_TRUE(out_.empty()) << out_;
    }
    for (const std::byte b : peek(path, 0, image_bytes)) ASSERT_EQ(b, std::byte{0}) << "written in spite of an error";
}

}  // namespace
}  // namespace sdlm::tools::mkfs
