// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/support/fault_disk.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>
#include <stdexcept>

namespace sdlm::test {
namespace {

constexpr int answer_ms_max = 30'000;

int connect_to(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) throw std::runtime_error(path + ": too long for a socket");
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw std::runtime_error(path + ": " + std::strerror(errno));
    return fd;
}

}  // namespace

FaultDisk::FaultDisk(const std::string& backing, const std::string& directory)
    : directory_(directory), image_(directory + "/disk.img") {
    if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST)
        throw std::runtime_error(directory + ": " + std::strerror(errno));
    const std::string socket = directory + ".control";
    process_ = std::make_unique<ChildProcess>(std::vector<std::string>{FAULT_DISK_PROGRAM, backing, directory, socket});
    if (!process_->wait_for_stdout("serving\n")) throw std::runtime_error("fault_disk: " + process_->err());
    control_ = connect_to(socket);
}

FaultDisk::~FaultDisk() {
    if (control_ >= 0) ::close(control_);
    process_->kill(SIGTERM);
    process_->wait();
    ::umount2(directory_.c_str(), MNT_DETACH);     // of a killed one
}

std::string FaultDisk::command(const std::string& line) {
    const std::string request = line + "\n";
    if (::send(control_, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
        throw std::runtime_error("fault_disk does not listen: " + process_->err());
    std::string answer;
    while (answer.empty() || answer.back() != '\n') {
        pollfd ready{control_, POLLIN, 0};
        char buffer[4096];
        const ssize_t n = ::poll(&ready, 1, answer_ms_max) == 1 ? ::read(control_, buffer, sizeof buffer) : -1;
        if (n <= 0) throw std::runtime_error("fault_disk does not answer: " + process_->err());
        answer.append(buffer, static_cast<std::size_t>(n));
    }
    if (!answer.starts_with("ok")) throw std::runtime_error("fault_disk: " + line + ": " + answer);
    return answer.substr(2);
}

unsigned FaultDisk::inject(const std::string& rule) {
    return static_cast<unsigned>(std::stoul(command("add " + rule)));
}

std::uint64_t FaultDisk::count(const std::string& name) {
    std::istringstream words(command("status"));
    for (std::string word; words >> word;)
        if (word.starts_with(name + "=")) return std::stoull(word.substr(name.size() + 1));
    throw std::runtime_error("fault_disk: no counter " + name);
}

}  // namespace sdlm::test
