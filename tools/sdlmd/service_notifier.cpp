// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlmd/service_notifier.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace sdlm::tools {
namespace {

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

}  // namespace

ServiceNotifier::ServiceNotifier() {
    const std::string path = environment("NOTIFY_SOCKET");
    sockaddr_un address{};
    if (path.size() < 2 || path.size() >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@')) return;
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    if (path[0] == '@') address.sun_path[0] = '\0';      // abstract: the length counts, there is no NUL at the end
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) return;
    socket_ = std::move(fd);
    const std::string pid = environment("WATCHDOG_PID");
    if (!pid.empty() && pid != std::to_string(::getpid())) return;
    const long long usec = std::strtoll(environment("WATCHDOG_USEC").c_str(), nullptr, 10);
    if (usec > 1 && usec < INT64_MAX / 1000) watchdog_ = microseconds(usec);
}

void ServiceNotifier::send(const std::string& message) const {
    if (socket_) ::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL);
}

Instant ServiceNotifier::keep_alive(Instant now) {
    if (!watchdog_) return never;
    if (now >= next_) {
        send("WATCHDOG=1");
        next_ = now + *watchdog_ / 2;
    }
    return next_;
}

}  // namespace sdlm::tools
