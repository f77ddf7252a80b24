// SPDX-License-Identifier: LGPL-2.1-or-later
// What the preloaded object changes and what it leaves alone, seen by a program built for it (preload_program.c); the
// lines of the mount table; the names that the libraries give away.
#include <sys/sysmacros.h>

#include <set>
#include <sstream>

#include "fs/libo2dlm/mount_check.h"
#include "tests/integration/o2dlm/o2dlm_nodes.hpp"
#include "tests/support/child_process.hpp"

namespace sdlm {
namespace {

class O2dlmPreload : public testing::Test {
protected:
    void SetUp() override {
        const std::string reason = cluster_.start({.nodes = 1, .block_bytes = 512, .loop = false});
        if (!reason.empty()) GTEST_SKIP() << reason;
    }
    static std::string run(const std::vector<std::string>& arguments, const std::string& preload = O2DLM_PRELOAD) {
        std::vector<std::string> argv{O2DLM_PRELOAD_PROGRAM};
        argv.insert(argv.end(), arguments.begin(), arguments.end());
        test::ChildOptions options;
        if (!preload.empty()) options.environment["LD_PRELOAD"] = preload;
        test::ChildProcess child(argv, options);
        EXPECT_TRUE(child.wait().exited) << child.err();
        return child.out();
    }
    Cluster cluster_;
};

TEST_F(O2dlmPreload, OnlyOurMountsAreShownAsTheKernelsDlmfs) {
    const std::string ours = "statfs 76a9f425 fstatfs 76a9f425 statfs64 76a9f425 fstatfs64 76a9f425\n";
    EXPECT_EQ(run({"type", cluster_.mount(0)}), ours);
    EXPECT_EQ(run({"type", cluster_.mount(0) + "/domain"}), ours);
    for (const std::string other : {cluster_.run_dir(0).c_str(), "/proc", "/dev/null", "/"})
        EXPECT_EQ(run({"type", other}), run({"type", other}, "")) << other;
    EXPECT_NE(run({"type", cluster_.mount(0)}, ""), ours) << "FUSE's own number";
    EXPECT_EQ(run({"type", "/nonexistent"}), "errno 2\n");
}

TEST_F(O2dlmPreload, TheCapabilitiesCanBeReadInEveryWay) {
    for (const char* way : {"fopen", "fopen64", "fopen-e", "open", "open64", "openat", "openat64", "open_2", "open64_2",
                            "openat_2", "openat64_2"})
        EXPECT_EQ(run({way, "/sys/module/ocfs2_dlmfs/parameters/capabilities"}), "[bast stackglue]\n") << way;
    EXPECT_EQ(run({"write", "/sys/module/ocfs2_dlmfs/parameters/capabilities"}), "errno 2\n");
    EXPECT_EQ(run({"fopen-w", "/sys/module/ocfs2_dlmfs/parameters/capabilities"}), "errno 2\n");
    EXPECT_EQ(run({"change", "/sys/module/ocfs2_dlmfs/parameters/capabilities"}), "errno 1\n") << "a write to it";
}

TEST_F(O2dlmPreload, OtherFilesAreTheCLibrarys) {
    for (const char* way : {"fopen", "open", "openat", "open_2", "openat64_2"}) {
        EXPECT_EQ(run({way, "/proc/sys/kernel/ostype"}), "[Linux\n]\n") << way;
        EXPECT_EQ(run({way, "/sys/module/ocfs2_dlmfs/parameters/missing"}), "errno 2\n") << way;
    }
    const std::string made = cluster_.mount(0) + "-made";
    EXPECT_EQ(run({"create", made, "640"}), "mode 640\n") << "the third argument of open";
    EXPECT_EQ(run({"create-at", made, "604"}), "mode 604\n");
}

TEST(O2dlmMountTable, OneLine) {
    const dev_t device = makedev(0, 45);
    const auto is_dlmfs = [&](const char* line) { return sdlm_line_is_dlmfs(line, device) != 0; };
    EXPECT_TRUE(is_dlmfs("36 35 0:45 / /dlm rw,nosuid - fuse.dlmfs /dev/sdb rw,user_id=0\n"));
    EXPECT_TRUE(is_dlmfs("36 35 0:45 / /a\\040-\\040b rw shared:1 master:2 - fuse.dlmfs x rw\n"));
    EXPECT_FALSE(is_dlmfs("36 35 0:46 / /dlm rw - fuse.dlmfs /dev/sdb rw\n")) << "another device";
    EXPECT_FALSE(is_dlmfs("36 35 8:45 / /dlm rw - fuse.dlmfs /dev/sdb rw\n"));
    EXPECT_FALSE(is_dlmfs("36 35 0:45 / /dlm rw - fuse.dlmfs2 /dev/sdb rw\n"));
    EXPECT_FALSE(is_dlmfs("36 35 0:45 / /dlm rw - fuse.sshfs fuse.dlmfs rw\n"));
    EXPECT_FALSE(is_dlmfs("36 35 0:45 / /fuse.dlmfs rw - ext4 /dev/sdb rw\n"));
    EXPECT_FALSE(is_dlmfs("36 35 0:45 / /dlm rw\n"));
    EXPECT_FALSE(is_dlmfs(""));
}

std::set<std::string> names_given_away(const std::vector<std::string>& nm) {
    test::ChildProcess child(nm);
    EXPECT_EQ(child.wait().code, 0) << child.err();
    std::set<std::string> names;
    std::istringstream lines(child.out());
    for (std::string line; std::getline(lines, line);)
        if (line.find(' ') != std::string::npos && line.back() != ':') names.insert(line.substr(line.rfind(' ') + 1));
    return names;
}

TEST(O2dlmNames, NothingButTheInterface) {
    if (::system("command -v nm >/dev/null") != 0) GTEST_SKIP() << "no nm here";
    const std::set<std::string> api{
        "et_o2dl_error_table", "initialize_o2dl_error_table", "initialize_o2dl_error_table_r", "o2dlm_destroy",
        "o2dlm_drop_lock", "o2dlm_initialize", "o2dlm_lock", "o2dlm_lock_with_bast", "o2dlm_process_bast",
        "o2dlm_read_lvb", "o2dlm_supports_bast", "o2dlm_supports_stackglue", "o2dlm_unlock", "o2dlm_write_lvb"};
    EXPECT_EQ(names_given_away({"nm", "-D", "--defined-only", LIBO2DLM}), api);
    EXPECT_EQ(names_given_away({"nm", "-g", "--defined-only", LIBO2DLM_ARCHIVE}), api);
    const std::set<std::string> interposed{"__open64_2", "__open_2",  "__openat64_2", "__openat_2", "fopen",
                                           "fopen64",    "fstatfs",   "fstatfs64",    "open",       "open64",
                                           "openat",     "openat64",  "statfs",       "statfs64"};
    EXPECT_EQ(names_given_away({"nm", "-D", "--defined-only", O2DLM_PRELOAD}), interposed);
}

TEST(O2dlmNames, OnlyLibcIsNeeded) {
    if (::system("command -v readelf >/dev/null") != 0) GTEST_SKIP() << "no readelf here";
    for (const char* library : {LIBO2DLM, O2DLM_PRELOAD}) {
        test::ChildProcess child({"readelf", "-d", library});
        EXPECT_EQ(child.wait().code, 0);
        std::istringstream lines(child.out());
        for (std::string line; std::getline(lines, line);)
            EXPECT_TRUE(line.find("(NEEDED)") == std::string::npos || line.find("[libc.so") != std::string::npos ||
                        line.find("[ld-linux") != std::string::npos)
                << line;
    }
}

// The texts, with and without something like com_err in the program.
TEST(O2dlmNames, ErrorTextsReachComErr) {
    for (const char* program : {O2DLM_TEXTS_WITH, O2DLM_TEXTS_WITHOUT}) {
        test::ChildProcess child({program});
        EXPECT_EQ(child.wait().code, 0) << program << ": " << child.out() << child.err();
    }
}

}  // namespace
}  // namespace sdlm
