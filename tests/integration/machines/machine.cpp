// SPDX-License-Identifier: LGPL-2.1-or-later
#include "machine.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>

namespace sdlm {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int boot_ms_max = 120'000;
constexpr int command_ms_max = 60'000;

int milliseconds_until(Clock::time_point end) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    return left > 0 ? static_cast<int>(left) : 0;
}

// QEMU makes its sockets soon after it was started; -1 when it does not.
int connect_to(const std::string& path, test::ChildProcess& qemu) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) throw std::runtime_error(path + ": too long for a socket");
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int i = 0; i < 3000 && qemu.running(); ++i) {
        if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
        ::usleep(10'000);
    }
    ::close(fd);
    return -1;
}

void send_line(int fd, const std::string& line) {
    const std::string text = line + "\n";
    if (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size()))
        throw std::runtime_error(std::string("a machine does not listen: ") + std::strerror(errno));
}

}  // namespace

Machine::Machine(const MachineOptions& options) : name_(options.name) {
    const std::string serial = options.directory + "/" + options.name + ".serial";
    const std::string monitor = options.directory + "/" + options.name + ".monitor";
    // Emulated: the same everywhere.
    std::vector<std::string> argv{
        "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "384", "-nodefaults", "-no-user-config",
        "-display", "none", "-no-reboot",
        "-kernel", options.guest + "/vmlinuz", "-initrd", options.guest + "/initramfs",
        "-append", "quiet panic=-1",
        "-chardev", "socket,id=serial,server=on,wait=off,path=" + serial, "-device", "virtio-serial-pci",
        "-device", "virtconsole,chardev=serial",
        "-chardev", "socket,id=monitor,server=on,wait=off,path=" + monitor, "-mon", "chardev=monitor,mode=control"};
    // Past every cache of this host, as a disk between hosts is.
    for (const std::string& disk : options.disks) {
        const std::string id = "disk" + std::to_string(argv.size());
        argv.insert(argv.end(), {"-drive", "if=none,format=raw,cache=none,file.locking=off,id=" + id + ",file=" + disk,
                                 "-device", "virtio-blk-pci,share-rw=on,drive=" + id});
    }
    qemu_ = std::make_unique<test::ChildProcess>(argv);
    serial_ = connect_to(serial, *qemu_);
    monitor_ = connect_to(monitor, *qemu_);
    if (serial_ < 0 || monitor_ < 0) {
        qemu_->wait(0);
        throw std::runtime_error("qemu-system-x86_64: " + qemu_->err());
    }
    send_line(monitor_, R"({"execute":"qmp_capabilities"})");
    if (!wait_for("guest is up", boot_ms_max)) throw std::runtime_error(name_ + " does not come up:\n" + text_);
}

Machine::~Machine() {
    kill();
    ::close(serial_);
    ::close(monitor_);
}

void Machine::kill() {
    qemu_->kill(SIGKILL);
    qemu_->wait();
}

bool Machine::read_some(int bound_ms) {
    pollfd ready{serial_, POLLIN, 0};
    if (::poll(&ready, 1, bound_ms) != 1) return false;
    char buffer[4096];
    const ssize_t n = ::read(serial_, buffer, sizeof buffer);
    for (ssize_t i = 0; i < n; ++i)
        if (buffer[i] != '\r' && buffer[i] != '\0') text_ += buffer[i];
    return n > 0;
}

bool Machine::wait_for(const std::string& line, int bound_ms) {
    const std::string text = line + "\n";      // all of it: an answer begins behind it
    const auto end = Clock::now() + std::chrono::milliseconds(bound_ms);
    while (read_some(0)) {}
    while (text_.find(text) == std::string::npos)
        if (!read_some(milliseconds_until(end))) break;
    return text_.find(text) != std::string::npos;
}

std::string Machine::run(const std::string& line) {
    while (read_some(0)) {}
    const std::size_t begin = text_.size();
    send_line(serial_, line);
    const auto give_up = Clock::now() + std::chrono::milliseconds(command_ms_max);
    for (;;) {
        // The answer is a line of its own: <0>
        const std::size_t open = text_.find('<', begin);
        const std::size_t close = open == std::string::npos ? open : text_.find(">\n", open);
        if (close != std::string::npos) {
            const std::string output = text_.substr(begin, open - begin);
            if (text_.substr(open, close - open) == "<0") return output;
            throw std::runtime_error(name_ + ": " + line + ": " + text_.substr(begin, close + 1 - begin));
        }
        if (!read_some(milliseconds_until(give_up)))
            throw std::runtime_error(name_ + " does not answer: " + line + ": " + text_.substr(begin));
    }
}

void Machine::control(const std::string& command) {
    send_line(monitor_, R"({"execute":")" + command + R"("})");
    // The answer to the greeting's handshake and events may come before; the event of the new state is what counts.
    const std::string event = command == "stop" ? "\"STOP\"" : "\"RESUME\"";
    std::string answer;
    while (answer.find(event) == std::string::npos) {
        pollfd ready{monitor_, POLLIN, 0};
        char buffer[4096];
        const ssize_t n = ::poll(&ready, 1, command_ms_max) == 1 ? ::read(monitor_, buffer, sizeof buffer) : -1;
        if (n <= 0) throw std::runtime_error(name_ + ": no answer to " + command + ": " + answer);
        answer.append(buffer, static_cast<std::size_t>(n));
    }
}

}  // namespace sdlm
