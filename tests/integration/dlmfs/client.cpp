// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/integration/dlmfs/client.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>

namespace sdlm::fs::test {

namespace {

enum class Call : std::uint8_t { open, close, poll, wait_readable };

void nothing(int) {}

}  // namespace

struct Client::Request {
    Call call = Call::open;
    int fd = -1;
    int flags = 0;
    std::array<char, 512> path{};
};
struct Client::Reply {
    int result = 0;
};

int watchdog_seconds() {
    const char* text = std::getenv("SDLM_TEST_WATCHDOG_S");
    return text != nullptr ? std::atoi(text) : 20;
}

Client::Client() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        // The test's own descriptors are not this program's: they would keep its locks open.
        ::dup2(ends[1], STDERR_FILENO + 1);
        ::close_range(STDERR_FILENO + 2, ~0U, 0);
        serve(STDERR_FILENO + 1);
    }
    ::close(ends[1]);
    channel_ = ends[0];
}

Client::~Client() {
    kill();
    ::close(channel_);
}

int Client::perform(const Request& request) {
    int result = -1;
    pollfd one{request.fd, POLLIN | POLLPRI | POLLOUT | POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLWRBAND, 0};
    switch (request.call) {
        case Call::open: result = ::open(request.path.data(), request.flags, 0664); break;
        case Call::close: result = ::close(request.fd); break;
        case Call::poll: result = ::poll(&one, 1, 0) < 0 ? -1 : one.revents; break;
        case Call::wait_readable:
            one.events = POLLIN;
            result = ::poll(&one, 1, -1) < 0 ? -1 : one.revents;
            break;
    }
    return result < 0 ? -errno : result;
}

// SIGUSR1 interrupts calls, SIGUSR2 is handled with SA_RESTART.
void Client::serve(int channel) {
    struct sigaction action {};
    action.sa_handler = nothing;
    ::sigaction(SIGUSR1, &action, nullptr);
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGUSR2, &action, nullptr);
    Request request;
    while (true) {
        const ssize_t bytes = ::recv(channel, &request, sizeof request, 0);
        if (bytes < 0 && errno == EINTR) continue;
        if (bytes != static_cast<ssize_t>(sizeof request)) ::_exit(0);
        const Reply reply{perform(request)};
        while (::send(channel, &reply, sizeof reply, MSG_NOSIGNAL) < 0 && errno == EINTR) {
        }
    }
}

void Client::send(const Request& request) {
    ASSERT_EQ(::send(channel_, &request, sizeof request, MSG_NOSIGNAL), static_cast<ssize_t>(sizeof request));
}

void Client::begin_open(const std::string& path, int flags) {
    Request request{Call::open, -1, flags, {}};
    ASSERT_LT(path.size(), request.path.size());
    std::memcpy(request.path.data(), path.data(), path.size());
    send(request);
}

int Client::close(int fd) {
    send({Call::close, fd, 0, {}});
    return finish();
}

void Client::begin_poll(int fd) { send({Call::poll, fd, 0, {}}); }
void Client::begin_wait_readable(int fd) { send({Call::wait_readable, fd, 0, {}}); }

int Client::finish() {
    pollfd one{channel_, POLLIN, 0};
    if (::poll(&one, 1, watchdog_seconds() * 1000) <= 0) return -ETIME;
    Reply reply;
    if (::recv(channel_, &reply, sizeof reply, 0) != static_cast<ssize_t>(sizeof reply)) return -ESRCH;
    return reply.result;
}

std::optional<int> Client::finished() {
    pollfd one{channel_, POLLIN, 0};
    if (::poll(&one, 1, 0) <= 0) return std::nullopt;
    return finish();
}

void Client::wait_until_in_open() {
    const std::time_t give_up = std::time(nullptr) + watchdog_seconds();
    while (std::time(nullptr) <= give_up) {
        std::ifstream file("/proc/" + std::to_string(pid_) + "/syscall");
        long number = -1;
        file >> number;
        if (number == SYS_openat) return;
        ::sched_yield();
    }
    FAIL() << "the program never came to its open";
}

void Client::signal(int number) { ASSERT_EQ(::kill(pid_, number), 0); }

void Client::kill() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
}

}  // namespace sdlm::fs::test
