// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lock_user.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <new>
#include <stdexcept>

#include "disk/io/reactor.hpp"

namespace sdlm {
namespace {

constexpr int poll_ms = 10;
constexpr int polls_max = 6000;

std::int64_t now_ns() { return disk::boottime_now().ns; }

}  // namespace

struct LockUser::State {      // shared with the program
    std::atomic<bool> granted, told, blocked, release;
    std::atomic<int> open_errno;
    std::atomic<std::int64_t> granted_ns, told_ns;
};

LockUser::LockUser(const std::string& path) {
    void* memory = ::mmap(nullptr, sizeof(State), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("mmap");
    state_ = new (memory) State{};
    program_ = std::make_unique<test::ForkedProgram>(
        [&] { return use(path); },
        test::ForkOptions{.seconds_max = 110, .descriptors = test::Descriptors::closed});
}

LockUser::~LockUser() {
    program_.reset();
    ::munmap(state_, sizeof(State));
}

int LockUser::use(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        state_->open_errno = errno;
        return 1;
    }
    state_->granted_ns = now_ns();
    state_->granted = true;
    while (!state_->release) {
        pollfd lock{fd, POLLIN, 0};
        ::poll(&lock, 1, 0);
        char byte = 0;
        const bool refused = ::pread(fd, &byte, 1, 0) < 0;
        if ((lock.revents & POLLIN) != 0) state_->blocked = true;
        if (!state_->told && (refused || (lock.revents & (POLLERR | POLLHUP)) != 0)) {
            state_->told_ns = now_ns();
            state_->told = true;
        }
        ::usleep(poll_ms * 1000);
    }
    ::close(fd);
    return 0;
}

bool LockUser::ended() {
    if (ended_) return true;
    siginfo_t info{};
    ended_ = ::waitid(P_PID, static_cast<id_t>(program_->pid()), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
             info.si_pid != 0;
    if (ended_ && !state_->told && info.si_code != CLD_EXITED) {
        state_->told_ns = now_ns();
        state_->told = true;
    }
    return ended_;
}

template <class Condition>
bool LockUser::wait(Condition condition) {
    for (int i = 0; i < polls_max && !condition(); ++i) {
        if (ended() && !condition()) return false;
        ::usleep(poll_ms * 1000);
    }
    return condition();
}

bool LockUser::wait_granted() { return wait([this] { return granted(); }); }
bool LockUser::wait_told() { return wait([this] { return state_->told.load(); }); }
bool LockUser::wait_blocked() { return wait([this] { return state_->blocked.load(); }); }
bool LockUser::granted() const { return state_->granted; }
bool LockUser::healthy() { return !ended() && state_->granted && !state_->told; }
int LockUser::open_errno() const { return state_->open_errno; }
std::int64_t LockUser::granted_ns() const { return state_->granted_ns; }
std::int64_t LockUser::told_ns() const { return state_->told_ns; }

void LockUser::release() {
    state_->release = true;
    program_->wait();
    ended_ = true;
}

}  // namespace sdlm
