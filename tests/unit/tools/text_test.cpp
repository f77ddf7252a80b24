// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>

#include "disk/base/prng.hpp"
#include "tools/common/escape.hpp"
#include "tools/common/run_dirs.hpp"
#include "tools/common/unix_address.hpp"
#include "tools/control/references.hpp"

namespace sdlm::tools::test {
namespace {

using namespace std::string_literals;

TEST(Escape, ReadableTextStays) {
    EXPECT_EQ(escaped("Plain name-1.2_3 äß€😀"), "Plain name-1.2_3 äß€😀");
    EXPECT_EQ(escaped(""), "");
}

TEST(Escape, WhateverCouldFoolATerminalIsSpelledOut) {
    EXPECT_EQ(escaped("a\x1b[2J\n"), "a\\x1b[2J\\x0a");
    EXPECT_EQ(escaped("\0\x7f"s), "\\x00\\x7f");
    EXPECT_EQ(escaped("a\\x41"), "a\\\\x41");
    EXPECT_EQ(escaped("\xc2\x9b"), "\\xc2\\x9b") << "C1 control";
    EXPECT_EQ(escaped("\xe2\x80\xae"), "\\xe2\\x80\\xae") << "right-to-left override";
    EXPECT_EQ(escaped("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
    EXPECT_EQ(escaped("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "surrogate";
    EXPECT_EQ(escaped("\xf5\x80\x80\x80"), "\\xf5\\x80\\x80\\x80") << "beyond Unicode";
    EXPECT_EQ(escaped("\xe2\x82"), "\\xe2\\x82") << "cut off";
}

TEST(Escape, AnyBytesComeBack) {
    Prng prng(1);
    for (int i = 0; i < 20'000; ++i) {
        std::string bytes(prng.below(65), '\0');
        for (char& c : bytes) c = static_cast<char>(prng.one_in(4) ? '\\' : static_cast<int>(prng.below(256)));
        const std::string text = escaped(bytes);
        for (const char c : text) ASSERT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
        std::string back;
        ASSERT_TRUE(unescape(text, back));
        ASSERT_EQ(back, bytes);
    }
    std::string back;
    for (const char* bad : {"\\", "\\x", "\\x4", "\\xgg", "\\n", "\\x4G"}) EXPECT_FALSE(unescape(bad, back)) << bad;
}

TEST(References, AreCounted) {
    References refs;
    EXPECT_TRUE(refs.add("a") && refs.add("a") && refs.add("b"));
    EXPECT_EQ(refs.total(), 3U);
    EXPECT_TRUE(refs.remove("a"));
    EXPECT_EQ(refs.counts().at("a"), 1U);
    EXPECT_TRUE(refs.remove("a") && refs.remove("b"));
    EXPECT_TRUE(refs.empty());
    EXPECT_EQ(refs.remove("a").error().code, Errc::not_found);
    for (const std::string& bad : {""s, "a\nb"s, std::string(reference_name_max + 1, 'x')}) {
        EXPECT_EQ(refs.add(bad).error().code, Errc::bad_argument);
    }
}

class RunDirs : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern = (std::filesystem::temp_directory_path() / "sdlm-run-XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        root = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(root); }
    void socket_in(const std::string& directory) {
        std::filesystem::create_directories(directory);
        auto address = unix_address(directory + "/control.sock");
        const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        ASSERT_EQ(::bind(fd.get(), generic(*address), address->bytes), 0);
    }
    std::string root;
    std::string message;
};

TEST_F(RunDirs, OptionWins) {
    socket_in(root + "/one");
    EXPECT_EQ(choose_run_dir("/elsewhere", root, message).value(), "/elsewhere");
}

TEST_F(RunDirs, TheOnlyOneIsTaken) {
    EXPECT_EQ(choose_run_dir("", root, message).error().code, Errc::not_found);
    EXPECT_EQ(choose_run_dir("", root + "/missing", message).error().code, Errc::not_found);
    std::filesystem::create_directory(root + "/empty");
    std::ofstream(root + "/file") << "x";
    socket_in(root + "/one");
    EXPECT_EQ(choose_run_dir("", root, message).value(), root + "/one");
}

TEST_F(RunDirs, SeveralAreListed) {
    socket_in(root + "/two");
    socket_in(root + "/one");
    EXPECT_EQ(choose_run_dir("", root, message).error().code, Errc::bad_argument);
    EXPECT_LT(message.find(root + "/one"), message.find(root + "/two")) << message;
    EXPECT_NE(message.find("--run-dir"), std::string::npos);
    socket_in(root);
    EXPECT_EQ(choose_run_dir("", root, message).value(), root);
}

}  // namespace
}  // namespace sdlm::tools::test
