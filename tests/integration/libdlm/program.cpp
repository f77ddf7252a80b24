// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/integration/libdlm/program.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <stdexcept>

namespace sdlm {

Program::Program(const std::function<int()>& body) : pid_(::fork()) {
    if (pid_ < 0) throw std::runtime_error("fork");
    if (pid_ != 0) return;
    ::alarm(60);
    int code = 99;
    try {
        code = body();
    } catch (const std::exception&) {
    }
    ::_exit(code);
}

Program::~Program() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
}

int Program::wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void Program::kill(int signal) const { ::kill(pid_, signal); }

Signal::Signal() {
    if (::pipe(ends_) != 0) throw std::runtime_error("pipe");
}

Signal::~Signal() {
    ::close(ends_[0]);
    ::close(ends_[1]);
}

void Signal::give() const {
    const char byte = 0;
    if (::write(ends_[1], &byte, 1) != 1) throw std::runtime_error("write");
}

bool Signal::take(int timeout_ms) const {
    pollfd fd{ends_[0], POLLIN, 0};
    char byte = 0;
    return ::poll(&fd, 1, timeout_ms) == 1 && ::read(ends_[0], &byte, 1) == 1;
}

}  // namespace sdlm
