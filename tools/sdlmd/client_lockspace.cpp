// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlmd/client_lockspace.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "disk/base/assert.hpp"
#include "tools/common/accept.hpp"
#include "tools/common/escape.hpp"
#include "tools/common/unix_address.hpp"
#include "tools/common/log.hpp"

namespace sdlm::tools {
namespace {

constexpr std::uint32_t mode_default = 0660;
constexpr std::size_t arrivals_max = 256;
constexpr unsigned accepts_per_round = 16;
constexpr int callback_buffer_bytes = 1 << 20;
constexpr unsigned messages_at_end = 1 << 16;    // a socket's buffer and a ring hold fewer

std::uint64_t next_token() {
    static std::uint64_t token = 0;
    return ++token;
}

// With the callback socket and the ring, as far as there are any.
int send_welcome(int fd, const wire::Welcome& welcome, int callbacks, int ring) {
    wire::Packet packet;
    wire::encode(wire::Message(welcome), packet);
    iovec part{packet.bytes.data(), packet.size};
    const std::array<int, 2> passed = {callbacks, ring};
    const std::size_t bytes = sizeof(int) * (callbacks < 0 ? 0U : ring < 0 ? 1U : 2U);
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof passed)] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (bytes > 0) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(bytes);
        cmsghdr* c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(bytes);
        std::memcpy(CMSG_DATA(c), passed.data(), bytes);
    }
    return ::sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

int refuse(int fd, std::int32_t error) { return send_welcome(fd, {.error = error}, -1, -1); }

void widen(int fd) {
    const int bytes = callback_buffer_bytes;
    if (::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0)
        ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

}  // namespace

int ClientLockspace::open(disk::Reactor& reactor, locks::LockPort& port, PacketBatch& batch,
                          const std::string& directory, const std::string& name, std::uint32_t mode,
                          std::uint32_t node_id, std::unique_ptr<ClientLockspace>& out) {
    std::unique_ptr<ClientLockspace> made(new ClientLockspace(reactor, port, batch, directory, name, node_id));
    if (const auto joined = made->locks_.join(); !joined) {
        if (joined.error().code == Errc::exists) return EEXIST;    // a dlmfs domain of that name
        return joined.error().code == Errc::no_space ? ENOSPC : EUNATCH;
    }
    made->joined_ = true;
    if (const int error = made->listen(mode)) return error;
    out = std::move(made);
    return 0;
}

ClientLockspace::ClientLockspace(disk::Reactor& reactor, locks::LockPort& port, PacketBatch& batch,
                                 const std::string& directory, const std::string& name, std::uint32_t node_id)
    : reactor_(reactor), batch_(batch), path_(directory + "/" + wire::lockspace_prefix + name),
      locks_(port, name, node_id) {}

ClientLockspace::~ClientLockspace() {
    if (listener_) {
        ::unlink(path_.c_str());
        reactor_.unwatch(listener_.get());
    }
    for (auto& [fd, arrival] : arrivals_) reactor_.unwatch(fd);
    while (!owners_.empty()) end(owners_.begin()->second);
    if (joined_) locks_.leave();
}

int ClientLockspace::listen(std::uint32_t mode) {
    ::unlink(path_.c_str());
    auto address = unix_address(path_);
    if (!address) return address.error().os_errno != 0 ? address.error().os_errno : ENAMETOOLONG;
    UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return errno;
    spare_ = spare_descriptor();
    // Nobody gets in before the mode is right.
    const mode_t mask = ::umask(0777);
    const int bound = ::bind(fd.get(), generic(*address), address->bytes);
    const int error = errno;
    ::umask(mask);
    if (bound != 0) return error;
    listener_ = std::move(fd);
    reactor_.watch(listener_.get(), POLLIN, [this](std::uint32_t) { accept_some(); });
    if (::listen(listener_.get(), 128) != 0) return errno;
    return set_mode(mode);
}

int ClientLockspace::set_mode(std::uint32_t mode) const {
    return ::chmod(path_.c_str(), mode == 0 ? mode_default : mode & 0777U) == 0 ? 0 : errno;
}

bool ClientLockspace::may_come(const ucred& peer) const {
    if (owners_.size() >= owners_max) return false;
    const auto found = owners_of_user_.find(peer.uid);
    return peer.uid == 0 || found == owners_of_user_.end() || found->second < owners_of_user_max;
}

void ClientLockspace::accept_some() {
    for (unsigned i = 0; i < accepts_per_round; ++i) {
        Arrival arrival;
        arrival.fd = accept_connection(listener_.get(), spare_);
        if (!arrival.fd) return;
        const int fd = arrival.fd.get();
        socklen_t bytes = sizeof arrival.peer;
        if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &arrival.peer, &bytes) != 0) continue;
        if (!may_come(arrival.peer)) {
            (void)refuse(fd, EMFILE);
            continue;
        }
        if (arrivals_.size() == arrivals_max) {
            const auto silent = arrivals_.begin();
            reactor_.unwatch(silent->first);
            arrivals_.erase(silent);
        }
        arrivals_.emplace(fd, std::move(arrival));
        reactor_.watch(fd, POLLIN, [this, fd](std::uint32_t) { greet(fd); });
    }
}

void ClientLockspace::greet(int fd) {
    std::array<std::byte, wire::message_bytes_max + 1> buffer;
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    reactor_.unwatch(fd);
    const auto found = arrivals_.find(fd);
    SDLM_ASSERT(found != arrivals_.end());
    Arrival arrival = std::move(found->second);
    arrivals_.erase(found);
    if (got <= 0) return;
    wire::Message message;
    const char* problem = wire::decode(std::span(buffer).first(static_cast<std::size_t>(got)), message);
    const auto* hello = std::get_if<wire::Hello>(&message);
    if (problem != nullptr || hello == nullptr) return;
    if (hello->version != wire::protocol_version) {
        (void)refuse(fd, EPROTO);
        return;
    }
    if (locks_.lost()) {
        (void)refuse(fd, ENOTCONN);
        return;
    }
    if (const int error = welcome(std::move(arrival)))
        log(LogLevel::warning,
            "lockspace " + escaped(locks_.name()) + ": a client was not let in: " + std::strerror(error));
}

int ClientLockspace::welcome(Arrival arrival) {
    int pair[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        const int error = errno;
        (void)refuse(arrival.fd.get(), error);
        return error;
    }
    UniqueFd own(pair[0]), theirs(pair[1]);
    widen(own.get());
    const int fd = arrival.fd.get();
    const std::uint64_t token = next_token();
    const ucred peer = arrival.peer;
    const int callbacks = own.get();
    UniqueFd ring_fd;
    ClientRing ring = ClientRing::create(ring_fd);
    if (const int error = send_welcome(fd, {.owner = token}, theirs.get(), ring_fd.get())) return error;
    auto owner = std::make_unique<ClientOwner>(locks_, std::move(arrival.fd), std::move(own), std::move(ring), peer,
                                               token);
    const dlm::OwnerId id = owner->id();
    if (owner_of_id_.size() <= id) owner_of_id_.resize(id + 1);
    SDLM_ASSERT(owner_of_id_[id] == nullptr);
    owner_of_id_[id] = std::move(owner);
    owners_.emplace(token, id);
    ++owners_of_user_[peer.uid];
    if (opened) holds_.emplace(id, opened(peer.pid));
    reactor_.watch(fd, POLLIN, [this, id](std::uint32_t) { requests_ready(id); });
    reactor_.watch(callbacks, 0, [this, id](std::uint32_t revents) { callbacks_ready(id, revents); });
    return 0;
}

void ClientLockspace::mark(dlm::OwnerId id) {
    marked_.push_back(id);
    ++changes_;
}

void ClientLockspace::requests_ready(dlm::OwnerId id) {
    ClientOwner& owner = *owner_of_id_[id];
    const auto taken = owner.serve(batch_, messages_per_round, reactor_.now());
    if (!taken) return end(id);
    mark(id);
    if (owner.pace == ClientOwner::Pace::timed) return;
    if (owner.under_way() >= busy_operations || !owner.rest()) set_timed(id);
}

// A request that wakes the daemon costs both sides more than all the rest of it; a busy client's requests are
// collected.
void ClientLockspace::set_timed(dlm::OwnerId id) {
    ClientOwner& owner = *owner_of_id_[id];
    if (!owner.has_ring()) return;
    owner.pace = ClientOwner::Pace::timed;
    owner.empty_looks = 0;
    timed_.push_back(id);
}

Instant ClientLockspace::look(Instant now) {
    for (const dlm::OwnerId id : std::exchange(timed_, {})) {
        ClientOwner* owner = owner_of_id_[id].get();
        if (owner == nullptr || owner->pace != ClientOwner::Pace::timed) continue;
        const auto taken = owner->serve_ring(messages_per_round, now);
        if (!taken) {
            end(id);
            continue;
        }
        if (*taken > 0) mark(id);
        owner->empty_looks = *taken > 0 ? 0 : owner->empty_looks + 1;
        if (owner->empty_looks >= busy_looks_max && owner->rest()) owner->pace = ClientOwner::Pace::woken;
        else timed_.push_back(id);
    }
    return timed_.empty() ? never : now + busy_pause;
}

void ClientLockspace::callbacks_ready(dlm::OwnerId id, std::uint32_t revents) {
    if ((revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
        return drain_and_end(id);
    }
    mark(id);
}

bool ClientLockspace::settle(std::uint64_t token) {
    const auto found = owners_.find(token);
    if (found == owners_.end()) return false;
    const dlm::OwnerId id = found->second;
    if (!owner_of_id_[id]->closed()) return true;
    drain_and_end(id);
    return true;
}

// What the program asked for before it closed its descriptors counts.
void ClientLockspace::drain_and_end(dlm::OwnerId id) {
    if (owner_of_id_[id]->problem() == nullptr) (void)owner_of_id_[id]->serve(batch_, messages_at_end, reactor_.now());
    end(id);
}

void ClientLockspace::end(dlm::OwnerId id) {
    ClientOwner& owner = *owner_of_id_[id];
    ++changes_;
    if (owner.problem() != nullptr) {
        log(LogLevel::warning, "lockspace " + escaped(locks_.name()) + ": pid " + std::to_string(owner.peer().pid) +
                                   " of user " + std::to_string(owner.peer().uid) + " is disconnected: " +
                                   owner.problem());
    }
    reactor_.unwatch(owner.requests_fd());
    reactor_.unwatch(owner.callbacks_fd());
    owners_.erase(owner.token());
    if (const auto hold = holds_.find(id); hold != holds_.end()) {
        closed(hold->second);
        holds_.erase(hold);
    }
    std::erase(timed_, id);
    const auto user = owners_of_user_.find(owner.peer().uid);
    if (--user->second == 0) owners_of_user_.erase(user);
    // The number may be given out again: nothing that was meant for this owner may reach the next one.
    std::erase_if(locks_.callbacks(), [id](const dlm::Callback& callback) { return callback.owner == id; });
    owner_of_id_[id].reset();
    std::erase_if(locks_.callbacks(), [id](const dlm::Callback& callback) { return callback.owner == id; });
}

// An owner that ends here makes others go on.
ClientLockspace::Flushed ClientLockspace::flush() {
    Flushed result = Flushed::all;
    while (!locks_.callbacks().empty() || !marked_.empty()) {
        const std::size_t before = owners_.size();
        flush_once();
        if (owners_.size() != before) result = Flushed::with_ends;
    }
    return result;
}

void ClientLockspace::flush_once() {
    std::vector<dlm::Callback> due;
    due.swap(locks_.callbacks());
    std::vector<dlm::OwnerId> overrun;
    for (const dlm::Callback& callback : due) {
        ClientOwner& owner = *owner_of_id_[callback.owner];
        if (owner.problem() != nullptr) continue;
        if (owner.push(callback)) mark(callback.owner);
        else overrun.push_back(callback.owner);
    }
    due.clear();
    if (locks_.callbacks().empty()) locks_.callbacks().swap(due);      // keeps its memory
    for (const dlm::OwnerId id : overrun) end(id);
    for (const dlm::OwnerId id : std::exchange(marked_, {})) flush(id);
}

void ClientLockspace::flush(dlm::OwnerId id) {
    ClientOwner* owner = owner_of_id_[id].get();
    if (owner == nullptr) return;
    switch (owner->flush(batch_)) {
        case ClientOwner::Flow::open: return reactor_.change_watch(owner->callbacks_fd(), 0);
        case ClientOwner::Flow::blocked: return reactor_.change_watch(owner->callbacks_fd(), POLLOUT);
        case ClientOwner::Flow::gone: return drain_and_end(id);
    }
}

void ClientLockspace::disconnect_all() {
    (void)flush();
    while (!owners_.empty()) end(owners_.begin()->second);
}

}  // namespace sdlm::tools
