// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/integration/libdlm/nodes.hpp"

#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "disk/io/reactor.hpp"
#include "tests/support/volume.hpp"

namespace sdlm {
namespace {

template <class F>
void load(void* library, const char* name, F& function) {
    void* address = ::dlsym(library, name);
    if (address == nullptr) throw std::runtime_error(std::string("no function ") + name);
    function = reinterpret_cast<F>(address);
}

constexpr Duration patience = milliseconds(20'000);

}  // namespace

Api::Api(const char* path) {
    void* library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(::dlerror());
    load(library, "dlm_kernel_version", kernel_version);
    load(library, "dlm_library_version", library_version);
    load(library, "dlm_create_lockspace", create);
    load(library, "dlm_new_lockspace", make);
    load(library, "dlm_open_lockspace", open);
    load(library, "dlm_close_lockspace", close);
    load(library, "dlm_release_lockspace", release);
    load(library, "dlm_ls_get_fd", get_fd);
    load(library, "dlm_get_fd", default_fd);
    load(library, "dlm_dispatch", dispatch);
    load(library, "dlm_ls_lock", lock);
    load(library, "dlm_ls_lockx", lockx);
    load(library, "dlm_ls_unlock", unlock);
    load(library, "dlm_ls_lock_wait", lock_wait);
    load(library, "dlm_ls_unlock_wait", unlock_wait);
    load(library, "dlm_ls_deadlock_cancel", deadlock_cancel);
    load(library, "dlm_ls_purge", purge);
    load(library, "dlm_lock", default_lock);
    load(library, "dlm_lock_wait", default_lock_wait);
    load(library, "dlm_unlock_wait", default_unlock_wait);
    if (::dlsym(library, "dlm_pthread_init") == nullptr) return;
    load(library, "dlm_pthread_init", pthread_init);
    load(library, "dlm_ls_pthread_init", ls_pthread_init);
    load(library, "dlm_pthread_cleanup", pthread_cleanup);
    load(library, "lock_resource", lock_resource);
    load(library, "unlock_resource", unlock_resource);
}

const Api& threaded() {
    static const Api api(LIBDLM);
    return api;
}

const Api& light() {
    static const Api api(LIBDLM_LT);
    return api;
}

void Held::ast(void* argument) {
    Held& held = *static_cast<Held*>(argument);
    ++held.asts;
    held.statuses.push_back(held.lksb.sb_status);
    if (held.on_ast) held.on_ast();
}

void Held::bast(void* argument) { ++static_cast<Held*>(argument)->basts; }

void Nodes::SetUp() {
    if (::geteuid() != 0) GTEST_SKIP() << "making lockspaces needs root";
    // Other users come, too.
    ASSERT_EQ(::chmod(dir_.path().c_str(), 0755), 0);
    const test::VolumeOptions volume{.area_bytes = 4 * 1024 * 1024, .lease_ms = lease_ms_};
    device_ = dir_.make_file("disk.img", test::volume_bytes(volume));
    test::format_volume(device_, volume);
    start(0);
    use(0);
}

void Nodes::start(unsigned node) {
    if (daemons_.size() <= node) daemons_.resize(node + 1);
    daemons_[node] = std::make_unique<test::ChildProcess>(std::vector<std::string>{
        SDLMD_PROGRAM, "--device", device_, "--node", std::to_string(node), "--run-dir", run_dir(node)});
    ASSERT_TRUE(daemons_[node]->wait_for_stderr("live as node")) << daemons_[node]->err();
}

void Nodes::TearDown() {
    for (auto& daemon : daemons_)
        if (daemon && daemon->running()) daemon->kill(SIGTERM);
    for (auto& daemon : daemons_) {
        if (!daemon) continue;
        const test::ExitStatus status = daemon->wait();
        const bool lost = daemon->err().find("LEASE LOST") != std::string::npos;
        EXPECT_TRUE(!status.exited || status.code == (lost ? 1 : 0)) << daemon->err();
        EXPECT_EQ(daemon->err().find("broken invariant"), std::string::npos) << daemon->err();
    }
}

void Nodes::use(unsigned node) const { ::setenv("SDLM_RUN_DIR", run_dir(node).c_str(), 1); }

std::size_t Nodes::count(const char* what, unsigned node) const {
    test::ChildProcess status({SDLM_PROGRAM, "--run-dir", run_dir(node), "status", "--json"});
    if (status.wait().code != 0) throw std::runtime_error("sdlm status: " + status.err());
    return nlohmann::json::parse(status.out()).at("libdlm").at(what).get<std::size_t>();
}

dlm_lshandle_t Nodes::create(const char* name) const {
    dlm_lshandle_t ls = threaded().create(name, 0600);
    EXPECT_NE(ls, nullptr) << name << ": errno " << errno;
    return ls;
}

int Nodes::lock(dlm_lshandle_t ls, Held& held, int mode, unsigned flags, const std::string& name) {
    const int rc = threaded().lock(ls, static_cast<unsigned>(mode), &held.lksb, flags, name.data(),
                                   static_cast<unsigned>(name.size()), 0, Held::ast, &held, Held::bast, nullptr);
    return rc == 0 ? 0 : errno;
}

int Nodes::convert(dlm_lshandle_t ls, Held& held, int mode, unsigned flags) {
    const int rc = threaded().lock(ls, static_cast<unsigned>(mode), &held.lksb, flags | LKF_CONVERT, nullptr, 0, 0,
                                   Held::ast, &held, Held::bast, nullptr);
    return rc == 0 ? 0 : errno;
}

int Nodes::unlock(dlm_lshandle_t ls, Held& held, unsigned flags) {
    return threaded().unlock(ls, held.lksb.sb_lkid, flags, &held.lksb, &held) == 0 ? 0 : errno;
}

bool Nodes::readable(dlm_lshandle_t ls, int timeout_ms) {
    pollfd fd{threaded().get_fd(ls), POLLIN, 0};
    return ::poll(&fd, 1, timeout_ms) == 1 && (fd.revents & POLLIN) != 0;
}

bool Nodes::until(dlm_lshandle_t ls, const std::function<bool()>& condition) {
    const Instant give_up = disk::boottime_now() + patience;
    while (!condition()) {
        if (disk::boottime_now() > give_up) return false;
        readable(ls, 100);
        if (threaded().dispatch(threaded().get_fd(ls)) != 0) return condition();
    }
    return true;
}

bool Nodes::completed(dlm_lshandle_t ls, Held& held) {
    const unsigned before = held.asts;
    return until(ls, [&] { return held.asts > before; });
}

int Nodes::status_of(dlm_lshandle_t ls, Held& held, int mode, unsigned flags, const std::string& name) {
    if (const int error = lock(ls, held, mode, flags, name)) return -error;
    return completed(ls, held) ? held.lksb.sb_status : -ETIME;
}

int Nodes::convert_status(dlm_lshandle_t ls, Held& held, int mode, unsigned flags) {
    if (const int error = convert(ls, held, mode, flags)) return -error;
    return completed(ls, held) ? held.lksb.sb_status : -ETIME;
}

int Nodes::unlock_status(dlm_lshandle_t ls, Held& held, unsigned flags) {
    if (const int error = unlock(ls, held, flags)) return -error;
    return completed(ls, held) ? held.lksb.sb_status : -ETIME;
}

}  // namespace sdlm
