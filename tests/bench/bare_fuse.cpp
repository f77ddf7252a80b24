// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/bench/bare_fuse.hpp"

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace sdlm::bench {
namespace {

constexpr fuse_ino_t file_ino = 2;

struct stat attributes(fuse_ino_t ino) {
    struct stat status{};
    status.st_ino = ino;
    status.st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644;
    status.st_nlink = 1;
    return status;
}

// No time-outs, as in dlmfs: each open looks its name up.
void on_lookup(fuse_req_t request, fuse_ino_t, const char*) {
    fuse_entry_param entry{};
    entry.ino = file_ino;
    entry.attr = attributes(file_ino);
    fuse_reply_entry(request, &entry);
}

void on_getattr(fuse_req_t request, fuse_ino_t ino, fuse_file_info*) {
    const struct stat status = attributes(ino);
    fuse_reply_attr(request, &status, 0);
}

void on_open(fuse_req_t request, fuse_ino_t, fuse_file_info* info) { fuse_reply_open(request, info); }

void on_release(fuse_req_t request, fuse_ino_t, fuse_file_info*) { fuse_reply_err(request, 0); }

// Never returns. One byte on `ready` says that the mount is there.
[[noreturn]] void serve(const std::string& directory, int ready) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    fuse_lowlevel_ops operations{};
    operations.lookup = on_lookup;
    operations.getattr = on_getattr;
    operations.open = on_open;
    operations.release = on_release;
    char name[] = "sdlm_bench_bare";
    char* words[] = {name, nullptr};
    fuse_args arguments = FUSE_ARGS_INIT(1, words);
    fuse_session* session = fuse_session_new(&arguments, &operations, sizeof operations, nullptr);
    if (session == nullptr || fuse_session_mount(session, directory.c_str()) != 0) ::_exit(1);
    fuse_set_signal_handlers(session);
    if (::write(ready, "r", 1) != 1) ::_exit(1);
    ::close(ready);
    fuse_session_loop(session);
    fuse_session_unmount(session);
    ::_exit(0);
}

}  // namespace

BareFuse::BareFuse(const std::string& directory) : directory_(directory) {
    int pipe[2] = {-1, -1};
    if (::pipe2(pipe, O_CLOEXEC) != 0) throw std::runtime_error(std::string("pipe: ") + std::strerror(errno));
    child_ = ::fork();
    if (child_ == 0) serve(directory_, pipe[1]);
    ::close(pipe[1]);
    char byte = 0;
    const bool mounted = child_ > 0 && ::read(pipe[0], &byte, 1) == 1;
    ::close(pipe[0]);
    if (mounted) return;
    if (child_ > 0) ::waitpid(child_, nullptr, 0);
    throw std::runtime_error(directory_ + ": no FUSE file system can be mounted here");
}

BareFuse::~BareFuse() {
    ::kill(child_, SIGTERM);
    while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {}
}

}  // namespace sdlm::bench
