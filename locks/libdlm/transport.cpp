// SPDX-License-Identifier: LGPL-2.1-or-later
#include "locks/libdlm/transport.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace sdlm::client {
namespace {

constexpr const char* default_run_dir = "/run/sdlm";
constexpr time_t patience_seconds = 10;          // for the daemon to take and welcome a connection

bool has_socket(const std::string& directory) {
    struct stat status {};
    const std::string path = directory + "/" + wire::control_socket_name;
    return ::stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

int find_below(const char* root, std::string& out) {
    DIR* entries = ::opendir(root);
    if (entries == nullptr) return EUNATCH;
    int found = 0;
    while (const dirent* entry = ::readdir(entries)) {
        if (entry->d_name[0] == '.') continue;
        const std::string path = std::string(root) + "/" + entry->d_name;
        if (!has_socket(path)) continue;
        out = path;
        ++found;
    }
    ::closedir(entries);
    if (found == 0) return EUNATCH;
    return found == 1 ? 0 : ENOTUNIQ;
}

void set_patience(int fd, time_t seconds) {
    const timeval bound{seconds, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
}

// A path too long for sockaddr_un is reached through a descriptor of its directory.
int connect_to(const std::string& directory, const std::string& name, Descriptor& out) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::string path = directory + "/" + name;
    Descriptor parent;
    if (path.size() >= sizeof address.sun_path) {
        parent = Descriptor(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!parent) return errno;
        path = "/proc/self/fd/" + std::to_string(parent.get()) + "/" + name;
        if (path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    Descriptor fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!fd) return errno;
    set_patience(fd.get(), patience_seconds);
    const void* where = &address;
    int rc = 0;
    do rc = ::connect(fd.get(), static_cast<const sockaddr*>(where), sizeof address);
    while (rc != 0 && errno == EINTR);
    if (rc != 0) return errno == EAGAIN ? ETIMEDOUT : errno;
    out = std::move(fd);
    return 0;
}

int gone_or(int error) { return error == EPIPE || error == ECONNRESET ? ENOTCONN : error; }

ssize_t receive_bytes(int fd, void* buffer, std::size_t bytes, int flags) {
    // ECONNRESET is told once, before what the daemon sent before it ended.
    for (int resets = 0;;) {
        const ssize_t got = ::recv(fd, buffer, bytes, flags);
        if (got >= 0 || (errno != ECONNRESET && errno != EINTR)) return got;
        if (errno == ECONNRESET && ++resets > 1) return 0;
        if (errno == EINTR && (flags & MSG_DONTWAIT) == 0) return got;
    }
}

}  // namespace

void Descriptor::reset(int fd) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
}

int find_run_dir(std::string& out) {
    if (const char* given = ::secure_getenv("SDLM_RUN_DIR"); given != nullptr && *given != '\0') {
        out = given;
        if (has_socket(out)) return 0;
        return find_below(given, out);
    }
    out = default_run_dir;
    return has_socket(out) ? 0 : find_below(default_run_dir, out);
}

int connect_control(const std::string& run_dir, Descriptor& out) {
    const int error = connect_to(run_dir, wire::control_socket_name, out);
    return error == ECONNREFUSED || error == ENOENT ? EUNATCH : error;
}

int connect_lockspace(const std::string& run_dir, std::string_view name, Descriptor& out) {
    const std::string directory = run_dir + "/" + wire::lockspace_directory;
    const int error = connect_to(directory, wire::lockspace_prefix + std::string(name), out);
    return error == ECONNREFUSED ? ENOENT : error;
}

int send_packet(int fd, const wire::Packet& packet) {
    for (;;) {
        const ssize_t sent = ::send(fd, packet.bytes.data(), packet.size, MSG_NOSIGNAL);
        if (sent >= 0) return 0;
        if (errno != EINTR) return gone_or(errno);
    }
}

int receive(int fd, wire::Message& message, OnSignal on_signal) {
    std::byte buffer[wire::message_bytes_max + 1];
    for (;;) {
        const ssize_t got = receive_bytes(fd, buffer, sizeof buffer, 0);
        if (got > 0) {
            const std::span<const std::byte> packet(buffer, static_cast<std::size_t>(got));
            return wire::decode(packet, message) == nullptr ? 0 : EPROTO;
        }
        if (got == 0) return ENOTCONN;
        if (errno != EINTR) return errno == EAGAIN ? ETIMEDOUT : errno;
        if (on_signal == OnSignal::interrupt) return EINTR;
    }
}

int receive_callbacks(int fd, wire::CallbackPacket& packet, Leave leave) {
    const int flags = MSG_DONTWAIT | (leave == Leave::in_socket ? MSG_PEEK : 0);
    const ssize_t got = receive_bytes(fd, packet.bytes.data(), packet.bytes.size(), flags);
    packet.size = got > 0 ? static_cast<std::size_t>(got) : 0;
    if (got == 0) return ENOTCONN;
    if (got < 0) return errno == EWOULDBLOCK ? EAGAIN : errno;
    return 0;
}

void drop_callbacks(int fd) {
    char none = 0;
    (void)receive_bytes(fd, &none, 0, MSG_DONTWAIT);
}

void wait_for_ever(int fd) { set_patience(fd, 0); }

int receive_welcome(int fd, wire::Welcome& welcome, Descriptor& callbacks, Descriptor& ring) {
    std::byte buffer[wire::message_bytes_max + 1];
    alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
    iovec part{buffer, sizeof buffer};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    ssize_t got = 0;
    do got = ::recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0) return errno == EAGAIN ? ETIMEDOUT : gone_or(errno);
    if (got == 0) return ENOTCONN;
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(sizeof(int))) continue;
        int number = -1;
        std::memcpy(&number, CMSG_DATA(c), sizeof number);
        callbacks = Descriptor(number);
        if (c->cmsg_len < CMSG_LEN(2 * sizeof(int))) continue;
        std::memcpy(&number, CMSG_DATA(c) + sizeof number, sizeof number);
        ring = Descriptor(number);
    }
    wire::Message message;
    const std::span<const std::byte> packet(buffer, static_cast<std::size_t>(got));
    if (wire::decode(packet, message) != nullptr) return EPROTO;
    const auto* answer = std::get_if<wire::Welcome>(&message);
    if (answer == nullptr) return EPROTO;
    welcome = *answer;
    if (welcome.error != 0) return welcome.error;
    if (welcome.version != wire::protocol_version || !callbacks) return EPROTO;
    wait_for_ever(fd);
    return 0;
}

}  // namespace sdlm::client
