// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "tests/support/child_process.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/volume.hpp"

namespace sdlm {
namespace {

std::string output_of(const std::vector<std::string>& argv, const test::ChildOptions& options = {}) {
    test::ChildProcess child(argv, options);
    const test::ExitStatus status = child.wait();
    EXPECT_TRUE(status.exited && status.code == 0) << argv[0] << ": " << child.err();
    return child.out();
}

const std::set<std::string> names_of_lt{
    "dlm_close_lockspace", "dlm_create_lockspace", "dlm_dispatch", "dlm_get_fd", "dlm_kernel_version",
    "dlm_library_version", "dlm_lock", "dlm_lock_wait", "dlm_ls_deadlock_cancel", "dlm_ls_get_fd", "dlm_ls_lock",
    "dlm_ls_lock_wait", "dlm_ls_lockx", "dlm_ls_purge", "dlm_ls_unlock", "dlm_ls_unlock_wait", "dlm_new_lockspace",
    "dlm_open_lockspace", "dlm_release_lockspace", "dlm_unlock", "dlm_unlock_wait"};

std::set<std::string> names_of_threaded() {
    std::set<std::string> names = names_of_lt;
    names.insert(
        {"dlm_ls_pthread_init", "dlm_pthread_cleanup", "dlm_pthread_init", "lock_resource", "unlock_resource"});
    return names;
}

// Names with their versions, if they have any.
std::set<std::string> exported(const std::string& library) {
    std::istringstream lines(output_of({"nm", "-D", "--defined-only", "--with-symbol-versions", library}));
    std::set<std::string> names;
    std::string address, type, name;
    while (lines >> address >> type >> name) {
        EXPECT_EQ(type, "T") << name;
        names.insert(name);
    }
    return names;
}

TEST(Abi, ExportedNames) {
    EXPECT_EQ(names_of_threaded().size(), 26U);
    EXPECT_EQ(names_of_lt.size(), 21U);
    EXPECT_EQ(exported(LIBDLM), names_of_threaded());
    EXPECT_EQ(exported(LIBDLM_LT), names_of_lt);
}

TEST(Abi, NeedsNothingButLibc) {
    for (const auto& [library, soname] :
         {std::pair<std::string, std::string>{LIBDLM, LIBDLM_SONAME}, {LIBDLM_LT, LIBDLM_LT_SONAME}}) {
        std::istringstream lines(output_of({"readelf", "-d", "-W", library}));
        std::string found_soname;
        for (std::string line; std::getline(lines, line);) {
            const auto open = line.find('['), close = line.find(']');
            if (open == std::string::npos || close == std::string::npos) continue;
            const std::string value = line.substr(open + 1, close - open - 1);
            if (line.find("(NEEDED)") != std::string::npos) {
                EXPECT_TRUE(value.starts_with("libc.so.") || value.starts_with("ld-linux")) << library << ": " << value;
            }
            if (line.find("(SONAME)") != std::string::npos) found_soname = value;
        }
        EXPECT_EQ(found_soname, soname);
    }
    EXPECT_STREQ(LIBDLM_SONAME, "libdlm.so.3");
    EXPECT_STREQ(LIBDLM_LT_SONAME, "libdlm_lt.so.3");
}

// LP64 facts of the ABI.
const char* const layout_lp64 = R"(dlm_lksb 24
dlm_lksb.sb_status 0 4
dlm_lksb.sb_lkid 4 4
dlm_lksb.sb_flags 8 1
dlm_lksb.sb_lvbptr 16 8
dlm_lshandle_t 8
DLM_LVB_LEN 32
DLM_LOCKSPACE_LEN 64
DLM_RESNAME_MAXLEN 64
DLM_SBF_DEMOTED 1
DLM_SBF_VALNOTVALID 2
DLM_SBF_ALTMODE 4
DLM_LSFL_TIMEWARN 2
DLM_LSFL_FS 4
DLM_LSFL_NEWEXCL 8
LKM_NLMODE 0
LKM_CRMODE 1
LKM_CWMODE 2
LKM_PRMODE 3
LKM_PWMODE 4
LKM_EXMODE 5
LKF_NOQUEUE 1
LKF_CANCEL 2
LKF_CONVERT 4
LKF_VALBLK 8
LKF_QUECVT 16
LKF_IVVALBLK 32
LKF_CONVDEADLK 64
LKF_PERSISTENT 128
LKF_NODLCKWT 256
LKF_NODLCKBLK 512
LKF_EXPEDITE 1024
LKF_NOQUEUEBAST 2048
LKF_HEADQUE 4096
LKF_NOORDER 8192
LKF_ORPHAN 16384
LKF_ALTPR 32768
LKF_ALTCW 65536
LKF_FORCEUNLOCK 131072
LKF_TIMEOUT 262144
LKF_WAIT 2147483648
ECANCEL 65537
EUNLOCK 65538
EINPROG 65539
)";

TEST(Abi, LayoutAndConstants) {
    EXPECT_EQ(output_of({LAYOUT_OURS}), layout_lp64);
#ifdef LAYOUT_DEBIAN
    EXPECT_EQ(output_of({LAYOUT_DEBIAN}), layout_lp64);
#else
    std::puts("no libdlm-dev here: only our own header was looked at");
#endif
}

// Over one real daemon on an image file; the libraries are put in Debian's place by LD_LIBRARY_PATH.
class Programs : public testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "making lockspaces needs root";
        const test::VolumeOptions volume{.lease_ms = 8000};
        device_ = dir_.make_file("disk.img", test::volume_bytes(volume));
        test::format_volume(device_, volume);
        daemon_ = std::make_unique<test::ChildProcess>(
            std::vector<std::string>{SDLMD_PROGRAM, "--device", device_, "--run-dir", dir_.file("run")});
        ASSERT_TRUE(daemon_->wait_for_stderr("live as node")) << daemon_->err();
    }
    void TearDown() override {
        if (!daemon_) return;
        daemon_->kill(SIGTERM);
        EXPECT_EQ(daemon_->wait().code, 0) << daemon_->err();
    }
    test::ChildOptions options() const {
        const std::string libraries = std::filesystem::path(LIBDLM).parent_path();
        return {.environment = {{"SDLM_RUN_DIR", dir_.file("run")}, {"LD_LIBRARY_PATH", libraries}}, .directory = {}};
    }

    test::TempDir dir_;
    std::string device_;
    std::unique_ptr<test::ChildProcess> daemon_;
};

TEST_F(Programs, ManPageExamples) {
    for (unsigned round = 0; round < 2; ++round) EXPECT_EQ(output_of({EXAMPLES_OURS}, options()), "ok\n");
}

TEST_F(Programs, ManPageExamplesBuiltOnDebiansHeader) {
#ifdef EXAMPLES_DEBIAN
    EXPECT_EQ(output_of({EXAMPLES_DEBIAN}, options()), "ok\n");
#else
    GTEST_SKIP() << "no libdlm-dev here";
#endif
}

}  // namespace
}  // namespace sdlm
