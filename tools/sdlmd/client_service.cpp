// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlmd/client_service.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "disk/base/assert.hpp"
#include "tools/common/accept.hpp"
#include "tools/common/escape.hpp"
#include "tools/common/unix_address.hpp"
#include "tools/common/log.hpp"

namespace sdlm::tools {
namespace {

constexpr unsigned accepts_per_round = 8;
constexpr std::uint32_t timewarn = 0x2;                            // DLM_LSFL_TIMEWARN: search for deadlocks
constexpr std::uint32_t newexcl = 0x8;                             // DLM_LSFL_NEWEXCL

// Every open handle takes two descriptors.
void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

bool is_name(std::string_view name) {
    if (name.empty()) return false;
    return std::none_of(name.begin(), name.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7f || byte == '/';
    });
}

}  // namespace

Result<std::unique_ptr<ClientService>> ClientService::open(disk::Reactor& reactor, locks::LockPort& port,
                                                           const std::string& run_dir, std::string& message) {
    std::unique_ptr<ClientService> service(new ClientService(reactor, port, run_dir));
    if (auto listening = service->listen(message); !listening) return listening.error();
    raise_descriptor_limit();
    return service;
}

ClientService::ClientService(disk::Reactor& reactor, locks::LockPort& port, std::string run_dir)
    : reactor_(reactor), port_(port), run_dir_(std::move(run_dir)) {}

ClientService::~ClientService() {
    leave();
    if (listener_) {
        reactor_.unwatch(listener_.get());
        ::unlink((run_dir_ + "/" + wire::control_socket_name).c_str());
    }
    while (!connections_.empty()) drop(connections_.begin()->first);
}

Result<void> ClientService::listen(std::string& message) {
    const std::string path = run_dir_ + "/" + wire::control_socket_name;
    const std::string sockets = run_dir_ + "/" + wire::lockspace_directory;
    const auto failed = [&](const std::string& where, int error) {
        message = where + ": " + std::strerror(error);
        return Error{.code = Errc::io, .os_errno = error, .field = "client socket"};
    };
    ::unlink(path.c_str());
    if (::mkdir(sockets.c_str(), 0755) != 0 && errno != EEXIST) return failed(sockets, errno);
    // Sockets that an earlier daemon left; the run directory is ours alone. The directory stays: it may be bound
    // elsewhere.
    std::error_code error;
    for (std::filesystem::directory_iterator it(sockets, error), end; !error && it != end; it.increment(error))
        if (it->path().filename().string().starts_with(wire::lockspace_prefix)) ::unlink(it->path().c_str());
    ::chmod(sockets.c_str(), 0755);
    auto address = unix_address(path);
    if (!address) return failed(path, address.error().os_errno);
    UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    spare_ = spare_descriptor();
    if (!fd || ::bind(fd.get(), generic(*address), address->bytes) != 0) return failed(path, errno);
    // Anybody may ask; what needs privileges is checked by the credentials of the connection.
    ::chmod(path.c_str(), 0666);
    if (::listen(fd.get(), static_cast<int>(client_connections_max)) != 0) return failed(path, errno);
    listener_ = std::move(fd);
    reactor_.watch(listener_.get(), POLLIN, [this](std::uint32_t) { accept_some(); });
    return {};
}

void ClientService::live(NodeIndex node) { node_id_ = static_cast<std::uint32_t>(node) + 1; }

void ClientService::lost() {
    node_id_.reset();
    lost_ = true;
}

void ClientService::leave() {
    node_id_.reset();
    for (auto& [fd, connection] : connections_) {
        if (!connection.releases.empty()) (void)answer(fd, ENOTCONN);
        connection.releases.clear();
    }
    lockspaces_.clear();
}

void ClientService::before_pump(Instant now) {
    next_look_ = never;
    for (auto& [name, lockspace] : lockspaces_) {
        next_look_ = earlier(next_look_, lockspace->look(now));
        if (lockspace->locks().next_deadline() <= now) lockspace->locks().expire(now);
    }
}

Instant ClientService::after_pump(Instant now) {
    Instant wake = next_look_;
    for (auto& [name, lockspace] : lockspaces_) {
        if (lockspace->flush() == ClientLockspace::Flushed::with_ends) wake = now;
        wake = earlier(wake, lockspace->locks().next_deadline());
    }
    finish_releases();
    if (lost_) {
        for (auto& [name, lockspace] : lockspaces_) lockspace->disconnect_all();
        leave();
    }
    return wake;
}

ClientCounts ClientService::counts() const {
    ClientCounts out;
    out.lockspaces = lockspaces_.size();
    for (const auto& [name, lockspace] : lockspaces_) {
        out.handles += lockspace->owners();
        out.locks += lockspace->locks().counts().locks;
    }
    return out;
}

void ClientService::accept_some() {
    for (unsigned i = 0; i < accepts_per_round; ++i) {
        Connection connection;
        connection.fd = accept_connection(listener_.get(), spare_);
        if (!connection.fd) return;
        const int fd = connection.fd.get();
        socklen_t bytes = sizeof connection.peer;
        if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &connection.peer, &bytes) != 0) continue;
        if (connections_.size() == client_connections_max) drop_most_silent();
        connection.active = ++activity_;
        connections_.emplace(fd, std::move(connection));
        reactor_.watch(fd, POLLIN, [this, fd](std::uint32_t) { ready(fd); });
    }
}

// Not one that waits for its release, as long as there is another.
void ClientService::drop_most_silent() {
    const auto silent = std::min_element(connections_.begin(), connections_.end(), [](const auto& a, const auto& b) {
        return std::pair(!a.second.releases.empty(), a.second.active) <
               std::pair(!b.second.releases.empty(), b.second.active);
    });
    drop(silent->first);
}

void ClientService::drop(int fd) {
    reactor_.unwatch(fd);
    connections_.erase(fd);
}

bool ClientService::answer(int fd, std::int32_t error) {
    wire::Packet packet;
    wire::encode(wire::Message(wire::ControlReply{error}), packet);
    return ::send(fd, packet.bytes.data(), packet.size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

void ClientService::ready(int fd) {
    const auto found = connections_.find(fd);
    if (found == connections_.end()) return;
    Connection& connection = found->second;
    std::array<std::byte, wire::message_bytes_max + 1> buffer;
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    // One that hangs up takes a release that has to wait back.
    if (got <= 0) return drop(fd);
    wire::Message request;
    if (wire::decode(std::span(buffer).first(static_cast<std::size_t>(got)), request) != nullptr) return drop(fd);
    if (!connection.releases.empty()) return drop(fd);
    connection.active = ++activity_;
    const auto error = serve(connection, request);
    if (error && !answer(fd, *error)) drop(fd);
}

std::optional<std::int32_t> ClientService::serve(Connection& connection, const wire::Message& request) {
    const auto spoken = [](std::uint32_t version) { return version == wire::protocol_version; };
    if (const auto* m = std::get_if<wire::AskVersion>(&request)) return spoken(m->version) ? 0 : EPROTO;
    if (const auto* m = std::get_if<wire::CreateLockspace>(&request))
        return spoken(m->version) ? create(connection, *m) : EPROTO;
    if (const auto* m = std::get_if<wire::ReleaseLockspace>(&request)) {
        if (!spoken(m->version)) return EPROTO;
        return release(connection, *m);
    }
    if (const auto* m = std::get_if<wire::SettleOwner>(&request)) {
        if (!spoken(m->version)) return EPROTO;
        settle(m->owner);
        return 0;
    }
    return EPROTO;
}

std::int32_t ClientService::create(const Connection& connection, const wire::CreateLockspace& request) {
    if (connection.peer.uid != 0) return EPERM;
    if (!is_name(request.name.view())) return EINVAL;
    if (!node_id_) return EUNATCH;
    const std::string name(request.name.view());
    if (const auto found = lockspaces_.find(name); found != lockspaces_.end()) {
        if ((request.flags & newexcl) != 0) return EEXIST;
        ++found->second->creates;
        return request.mode == 0 ? 0 : found->second->set_mode(request.mode);
    }
    if (lockspaces_.size() == client_lockspaces_max) return ENOSPC;
    std::unique_ptr<ClientLockspace> made;
    const std::string directory = run_dir_ + "/" + wire::lockspace_directory;
    const int error = ClientLockspace::open(reactor_, port_, batch_, directory, name, request.mode, *node_id_, made);
    if (error != 0) return error;
    if (opened) {
        made->opened = [this, name](pid_t process) { return opened(name, process); };
        made->closed = closed;
    }
    if ((request.flags & timewarn) != 0) made->locks().search_deadlocks();
    lockspaces_.emplace(name, std::move(made));
    if (lockspaces_changed) lockspaces_changed();
    log(LogLevel::info, "lockspace " + escaped(name) + " made by pid " + std::to_string(connection.peer.pid));
    return 0;
}

std::optional<std::int32_t> ClientService::release(Connection& connection, const wire::ReleaseLockspace& request) {
    settle(request.owner);
    if (connection.peer.uid != 0) return EPERM;
    const auto found = lockspaces_.find(std::string(request.name.view()));
    if (found == lockspaces_.end()) return ENOENT;
    ClientLockspace& lockspace = *found->second;
    if (lockspace.creates > 1) {
        --lockspace.creates;
        return 0;
    }
    for (const auto& [fd, other] : connections_)
        if (other.releases == found->first) return EINVAL;         // the last count is being released already
    if (request.force == 0 && lockspace.locks().has_locks()) return EBUSY;
    connection.releases = found->first;
    finish_releases();
    return std::nullopt;
}

void ClientService::settle(std::uint64_t owner) {
    for (auto& [name, lockspace] : lockspaces_)
        if (lockspace->settle(owner)) return;
}

void ClientService::finish_releases() {
    for (auto& [fd, connection] : connections_) {
        if (connection.releases.empty()) continue;
        const auto found = lockspaces_.find(connection.releases);
        SDLM_ASSERT(found != lockspaces_.end());
        if (found->second->creates > 1) {
            --found->second->creates;
        } else if (found->second->owners() == 0) {
            log(LogLevel::info, "lockspace " + escaped(found->first) + " released");
            lockspaces_.erase(found);
            if (lockspaces_changed) lockspaces_changed();
        } else {
            continue;
        }
        connection.releases.clear();
        (void)answer(fd, 0);                                       // one that cannot be answered is found when it ends
    }
}

}  // namespace sdlm::tools
