// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/support/child_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>

namespace sdlm::test {
namespace {

using Clock = std::chrono::steady_clock;

int milliseconds_until(Clock::time_point end) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    return left > 0 ? static_cast<int>(left) : 0;
}

ExitStatus decode(int status) {
    if (WIFEXITED(status)) return {true, WEXITSTATUS(status), 0};
    return {false, -1, WTERMSIG(status)};
}

[[noreturn]] void run_child(const std::vector<std::string>& argv, const ChildOptions& options, int out, int err) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const auto& [name, value] : options.environment) ::setenv(name.c_str(), value.c_str(), 1);
    if (!options.directory.empty() && ::chdir(options.directory.c_str()) != 0) ::_exit(126);
    std::vector<char*> pointers;
    for (const auto& word : argv) pointers.push_back(const_cast<char*>(word.c_str()));
    pointers.push_back(nullptr);
    ::execvp(pointers[0], pointers.data());
    ::_exit(127);
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& argv, const ChildOptions& options) {
    int out[2] = {-1, -1};
    int err[2] = {-1, -1};
    if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0)
        throw std::system_error(errno, std::generic_category(), "pipe2");
    pid_ = ::fork();
    if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (pid_ == 0) run_child(argv, options, out[1], err[1]);
    ::close(out[1]);
    ::close(err[1]);
    streams_[0].fd = out[0];
    streams_[1].fd = err[0];
}

ChildProcess::~ChildProcess() {
    if (running()) {
        kill(SIGKILL);
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
    }
    for (const Stream& stream : streams_) {
        if (stream.fd >= 0) ::close(stream.fd);
    }
}

bool ChildProcess::running() {
    int status = 0;
    if (!reaped_ && ::waitpid(pid_, &status, WNOHANG) == pid_) {
        reaped_ = true;
        status_ = decode(status);
    }
    return !reaped_;
}

void ChildProcess::kill(int signal) const {
    if (!reaped_) ::kill(pid_, signal);
}

// False when both streams have ended or the bound has passed.
bool ChildProcess::read_some(int bound_ms) {
    pollfd fds[2] = {{streams_[0].fd, POLLIN, 0}, {streams_[1].fd, POLLIN, 0}};
    if (fds[0].fd < 0 && fds[1].fd < 0) return false;
    const int ready = ::poll(fds, 2, bound_ms);
    if (ready < 0 && errno == EINTR) return true;
    if (ready <= 0) return false;
    for (int i = 0; i < 2; ++i) {
        if (fds[i].revents == 0) continue;
        char buffer[4096];
        const ssize_t n = ::read(streams_[i].fd, buffer, sizeof buffer);
        if (n > 0) streams_[i].text.append(buffer, static_cast<std::size_t>(n));
        if (n > 0 || (n < 0 && errno == EINTR)) continue;
        ::close(streams_[i].fd);
        streams_[i].fd = -1;
    }
    return true;
}

bool ChildProcess::wait_for(Stream& stream, const std::string& text, int bound_ms) {
    const auto end = Clock::now() + std::chrono::milliseconds(bound_ms);
    while (stream.text.find(text) == std::string::npos) {
        if (stream.fd < 0 || !read_some(milliseconds_until(end))) break;
    }
    return stream.text.find(text) != std::string::npos;
}

bool ChildProcess::wait_for_stderr(const std::string& text, int bound_ms) {
    return wait_for(streams_[1], text, bound_ms);
}

bool ChildProcess::wait_for_stdout(const std::string& text, int bound_ms) {
    return wait_for(streams_[0], text, bound_ms);
}

ExitStatus ChildProcess::wait(int bound_ms) {
    const auto end = Clock::now() + std::chrono::milliseconds(bound_ms);
    while (read_some(milliseconds_until(end))) {}
    // A grandchild may hold the pipes: do not read on.
    if (streams_[0].fd >= 0 || streams_[1].fd >= 0) kill(SIGKILL);
    if (!reaped_) {
        // Output is closed, so the end is near; a process that only closed it is killed at the bound.
        for (int left = milliseconds_until(end); running() && left > 0; left = milliseconds_until(end))
            ::poll(nullptr, 0, 1);
        kill(SIGKILL);
        int status = 0;
        while (!reaped_ && ::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
        if (!reaped_) status_ = decode(status);
        reaped_ = true;
    }
    return status_;
}

}  // namespace sdlm::test
