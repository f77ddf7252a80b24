// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/support/forked_program.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <stdexcept>

namespace sdlm::test {

ForkedProgram::ForkedProgram(const std::function<int()>& body, const ForkOptions& options) : pid_(::fork()) {
    if (pid_ < 0) throw std::runtime_error("fork");
    if (pid_ != 0) return;
    if (options.descriptors == Descriptors::closed) ::close_range(3, ~0U, 0);
    ::alarm(options.seconds_max);
    int code = 99;
    try {
        code = body();
    } catch (const std::exception&) {
    }
    ::_exit(code);
}

ForkedProgram::~ForkedProgram() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
}

int ForkedProgram::wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void ForkedProgram::kill(int signal) const { ::kill(pid_, signal); }

}  // namespace sdlm::test
