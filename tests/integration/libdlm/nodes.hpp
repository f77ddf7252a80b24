// SPDX-License-Identifier: LGPL-2.1-or-later
// Daemons on one image file, and libdlm as a program sees it: loaded by name, called through its C functions.
#pragma once
#include <gtest/gtest.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "locks/libdlm/libdlm.h"
#include "tests/support/child_process.hpp"
#include "tests/support/temp_dir.hpp"

namespace sdlm {

struct Api {
    explicit Api(const char* library);
    decltype(&::dlm_kernel_version) kernel_version;
    decltype(&::dlm_library_version) library_version;
    decltype(&::dlm_create_lockspace) create;
    decltype(&::dlm_new_lockspace) make;
    decltype(&::dlm_open_lockspace) open;
    decltype(&::dlm_close_lockspace) close;
    decltype(&::dlm_release_lockspace) release;
    decltype(&::dlm_ls_get_fd) get_fd;
    decltype(&::dlm_get_fd) default_fd;
    decltype(&::dlm_dispatch) dispatch;
    decltype(&::dlm_ls_lock) lock;
    decltype(&::dlm_ls_lockx) lockx;
    decltype(&::dlm_ls_unlock) unlock;
    decltype(&::dlm_ls_lock_wait) lock_wait;
    decltype(&::dlm_ls_unlock_wait) unlock_wait;
    decltype(&::dlm_ls_deadlock_cancel) deadlock_cancel;
    decltype(&::dlm_ls_purge) purge;
    decltype(&::dlm_lock) default_lock;
    decltype(&::dlm_lock_wait) default_lock_wait;
    decltype(&::dlm_unlock_wait) default_unlock_wait;
    // Null in libdlm_lt.
    int (*pthread_init)() = nullptr;
    int (*ls_pthread_init)(dlm_lshandle_t) = nullptr;
    int (*pthread_cleanup)() = nullptr;
    int (*lock_resource)(const char*, int, int, int*) = nullptr;
    int (*unlock_resource)(int) = nullptr;
};
const Api& threaded();
const Api& light();

// A lock as a program keeps it: lksb, value block, and what its routines have been told.
struct Held {
    struct dlm_lksb lksb {};
    char lvb[DLM_LVB_LEN] = {};
    unsigned asts = 0, basts = 0;
    std::vector<int> statuses;
    std::function<void()> on_ast;              // called by the completion routine

    Held() { lksb.sb_lvbptr = lvb; }
    static void ast(void* held);
    static void bast(void* held);
};

class Nodes : public testing::Test {
protected:
    void SetUp() override;
    void TearDown() override;
    // Starts daemon `node`, live when it returns.
    void start(unsigned node);
    void use(unsigned node) const;             // handles opened from now on
    std::string run_dir(unsigned node) const { return dir_.file("run" + std::to_string(node)); }
    test::ChildProcess& daemon(unsigned node) { return *daemons_[node]; }
    // What `sdlm status --json` says of libdlm, for example {"lockspaces":1,...}: "lockspaces", "handles", "locks".
    std::size_t count(const char* what, unsigned node = 0) const;
    dlm_lshandle_t create(const char* name = "rows") const;

    // One asynchronous call; 0 or errno.
    static int lock(dlm_lshandle_t ls, Held& held, int mode, unsigned flags, const std::string& name = "resource");
    static int convert(dlm_lshandle_t ls, Held& held, int mode, unsigned flags = 0);
    static int unlock(dlm_lshandle_t ls, Held& held, unsigned flags = 0);
    // Dispatches until `condition` holds; false after 20 s.
    static bool until(dlm_lshandle_t ls, const std::function<bool()>& condition);
    static bool completed(dlm_lshandle_t ls, Held& held);          // the next completion
    static bool readable(dlm_lshandle_t ls, int timeout_ms = 0);
    // The call and its completion: its status, or -errno.
    static int status_of(dlm_lshandle_t ls, Held& held, int mode, unsigned flags, const std::string& name = "resource");
    static int convert_status(dlm_lshandle_t ls, Held& held, int mode, unsigned flags = 0);
    static int unlock_status(dlm_lshandle_t ls, Held& held, unsigned flags = 0);

    std::uint32_t lease_ms_ = 8000;

private:
    test::TempDir dir_;
    std::string device_;
    std::vector<std::unique_ptr<test::ChildProcess>> daemons_;
};

// ... with the lockspace `rows` on node 0.
class NodesWithLockspace : public Nodes {
protected:
    void SetUp() override {
        Nodes::SetUp();
        if (!IsSkipped()) ls_ = create();
    }
    void TearDown() override {
        if (ls_ != nullptr) {
            EXPECT_EQ(threaded().release("rows", ls_, 1), 0);
        }
        Nodes::TearDown();
    }
    dlm_lshandle_t ls_ = nullptr;
};

}  // namespace sdlm
