// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/integration/o2dlm/talker.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>

namespace sdlm {

namespace {

constexpr int patience_ms = 60'000;

}  // namespace

Talker::Talker(const Flavour& flavour, const std::map<std::string, std::string>& environment) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) throw std::runtime_error("socketpair");
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("fork");
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::dup2(ends[1], STDIN_FILENO);
        ::dup2(ends[1], STDOUT_FILENO);
        ::close_range(STDERR_FILENO + 1, ~0U, 0);
        for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
        if (!flavour.preload.empty()) ::setenv("LD_PRELOAD", flavour.preload.c_str(), 1);
        ::execl(flavour.program.c_str(), flavour.program.c_str(), nullptr);
        ::_exit(127);
    }
    ::close(ends[1]);
    channel_ = ends[0];
}

Talker::~Talker() {
    kill();
    ::close(channel_);
}

void Talker::begin(const std::string& command) {
    const std::string line = command + "\n";
    if (::send(channel_, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
        text_ += "(ended)\n";
}

bool Talker::read_some(int bound_ms) {
    pollfd fd{.fd = channel_, .events = POLLIN, .revents = 0};
    if (::poll(&fd, 1, bound_ms) != 1) return false;
    std::array<char, 4096> bytes{};
    const ssize_t count = ::read(channel_, bytes.data(), bytes.size());
    text_.append(bytes.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
    if (count <= 0) text_ += "(ended)\n";
    return true;
}

std::string Talker::answer() {
    while (text_.find('\n') == std::string::npos)
        if (!read_some(patience_ms)) return "(time out)";
    const std::size_t end = text_.find('\n');
    const std::string line = text_.substr(0, end);
    text_.erase(0, end + 1);
    return line;
}

bool Talker::answered() {
    while (text_.find('\n') == std::string::npos)
        if (!read_some(0)) return false;
    return true;
}

void Talker::signal(int number) const { ::kill(pid_, number); }

void Talker::kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
}

}  // namespace sdlm
