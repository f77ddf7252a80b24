// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlmd/client_owner.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "disk/base/assert.hpp"

namespace sdlm::tools {
namespace {

constexpr std::size_t callbacks_waiting_max = std::size_t{1} << 19;
constexpr std::size_t unsent_max = 1024;         // taken from the queue at once
constexpr unsigned ring_messages_max = ~0U;      // a ring bounds them

static_assert(wire::lvb_bytes == dlm::lvb_bytes);

dlm::Cookies to_core(const wire::Cookies& c) { return {c.ast, c.argument, c.bast, c.lksb}; }

wire::Callback to_wire(const dlm::Callback& c) {
    wire::Callback out;
    const bool blocking = c.kind == dlm::Callback::Kind::blocking;
    out.kind = blocking ? wire::CallbackKind::blocking : wire::CallbackKind::completion;
    out.sb_flags = c.sb_flags;
    out.mode = static_cast<std::uint8_t>(c.mode);
    out.dead = c.dead;
    out.has_lvb = c.has_lvb;
    out.id = c.id;
    out.status = c.status;
    out.function = blocking ? c.cookies.bast : c.cookies.ast;
    out.argument = c.cookies.arg;
    out.lksb = c.cookies.lksb;
    if (c.has_lvb) out.lvb = c.lvb;
    return out;
}

bool is_wait(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS; }

}  // namespace

PacketBatch::PacketBatch() {
    for (unsigned i = 0; i < packets_max; ++i) {
        headers_[i].msg_hdr.msg_iov = &vectors_[i];
        headers_[i].msg_hdr.msg_iovlen = 1;
    }
}

int PacketBatch::receive(int fd) {
    for (unsigned i = 0; i < packets_max; ++i) vectors_[i] = {bytes_[i].data(), receive_bytes};
    int got = 0;
    do got = ::recvmmsg(fd, headers_.data(), packets_max, MSG_DONTWAIT, nullptr);
    while (got < 0 && errno == EINTR);
    return got;
}

std::span<const std::byte> PacketBatch::received(unsigned index) const {
    return std::span(bytes_[index]).first(headers_[index].msg_len);
}

int PacketBatch::send_prepared(int fd, unsigned count) {
    int sent = 0;
    do sent = ::sendmmsg(fd, headers_.data(), count, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent;
}

int PacketBatch::send(int fd) {
    for (unsigned i = 0; i < count_; ++i) vectors_[i] = {packets_[i].bytes.data(), packets_[i].size};
    return send_prepared(fd, count_);
}

int PacketBatch::send_callbacks(int fd, std::span<const wire::Callback> callbacks) {
    std::array<std::size_t, callback_packets_max> ends{};          // callbacks up to the end of each packet
    unsigned packets = 0;
    std::size_t put = 0;
    for (; packets < callback_packets_max && put < callbacks.size(); ++packets) {
        wire::CallbackPacket& packet = callback_packets_[packets];
        packet.size = 0;
        while (put < callbacks.size() && packet.append(callbacks[put])) ++put;
        ends[packets] = put;
        vectors_[packets] = {packet.bytes.data(), packet.size};
    }
    const int sent = send_prepared(fd, packets);
    return sent <= 0 ? sent : static_cast<int>(ends[static_cast<unsigned>(sent) - 1]);
}

ClientOwner::ClientOwner(dlm::Lockspace& lockspace, UniqueFd requests, UniqueFd callbacks, ClientRing ring,
                         const ucred& peer, std::uint64_t token)
    : lockspace_(lockspace),
      requests_(std::move(requests)),
      callbacks_(std::move(callbacks)),
      ring_memory_(std::move(ring)),
      ring_(ring_memory_.reader()),
      peer_(peer),
      token_(token),
      id_(lockspace.add_owner(static_cast<std::uint32_t>(peer.pid))),
      queue_(callbacks_waiting_max) {}

ClientOwner::~ClientOwner() { lockspace_.remove_owner(id_); }

bool ClientOwner::fail(const char* problem) {
    problem_ = problem;
    return false;
}

bool ClientOwner::closed() const {
    pollfd both[2] = {{requests_.get(), 0, 0}, {callbacks_.get(), 0, 0}};
    if (::poll(both, 2, 0) <= 0) return false;
    return ((both[0].revents | both[1].revents) & (POLLHUP | POLLERR)) != 0;
}

// Up to where the client had written when this was called.
bool ClientOwner::take_from_ring(Instant now, unsigned messages, unsigned& taken) {
    if (!ring_) return true;
    const std::uint32_t end = ring_.end();
    for (; ring_.before(end) && taken < messages; ++taken) {
        if (const char* problem = ring_.take(end, from_ring_)) return fail(problem);
        if (!take(from_ring_.span(), now)) return false;
    }
    return true;
}

std::optional<unsigned> ClientOwner::serve_ring(unsigned messages, Instant now) {
    unsigned taken = 0;
    if (!take_from_ring(now, messages, taken)) return std::nullopt;
    return taken;
}

// What was sent before the end counts: it may have been a lock that is to outlive its program.
std::optional<unsigned> ClientOwner::serve(PacketBatch& batch, unsigned messages, Instant now) {
    bool reset = false;
    unsigned taken = 0;
    if (!take_from_ring(now, messages, taken)) return std::nullopt;
    while (taken < messages) {
        const int got = batch.receive(requests_.get());
        if (got < 0 && errno == ECONNRESET && !reset) {
            reset = true;                        // told once, before the packets that are still there
            continue;
        }
        const int error = got < 0 ? errno : 0;
        if (is_wait(error)) break;
        // What was in the ring when these packets were sent, or when the socket was closed, goes before them: at most a
        // full ring.
        if (!take_from_ring(now, ring_messages_max, taken) || error != 0) return std::nullopt;
        for (unsigned i = 0; i < static_cast<unsigned>(got); ++i, ++taken) {
            if (batch.received(i).empty()) return std::nullopt;
            if (!take(batch.received(i), now)) return std::nullopt;
        }
        if (static_cast<unsigned>(got) < PacketBatch::packets_max) break;
    }
    return taken;
}

bool ClientOwner::take(std::span<const std::byte> packet, Instant now) {
    wire::Message message;
    if (const char* problem = wire::decode(packet, message)) return fail(problem);
    return std::visit([&](const auto& request) { return on(request, now); }, message);
}

bool ClientOwner::on(const wire::Lock& request, Instant now) {
    dlm::LockCall call;
    call.owner = id_;
    call.tid = request.tid;
    call.flags = request.flags;
    call.mode = request.mode;
    call.id = request.id;
    call.name = request.name.view();
    call.cookies = to_core(request.cookies);
    call.has_lvb = request.has_lvb;
    if (request.has_lvb) call.lvb = request.lvb;
    call.timeout_cs = request.timeout_cs;
    call.xid = request.xid;
    const dlm::LockResult result = lockspace_.lock(call, now);
    if (request.sequence != 0) {
        replies_.push_back(wire::Reply{request.sequence, result.error, result.id, result.completes});
    } else if (result.error != 0) {
        const bool converts = (request.flags & dlm::lkf::convert) != 0;
        fail_silent(request.id, result.error, !converts || result.error == ENOENT, call.cookies);
    }
    return true;
}

bool ClientOwner::on(const wire::Unlock& request, Instant now) {
    dlm::UnlockResult result;
    const dlm::Cookies cookies{request.ast, request.argument, 0, request.lksb};
    if (request.kind == wire::UnlockKind::deadlock_cancel) {
        result = lockspace_.deadlock_cancel(id_, request.id, request.flags, now);
    } else {
        dlm::UnlockCall call;
        call.owner = id_;
        call.id = request.id;
        call.flags = request.flags;
        call.cookies = cookies;
        call.has_lvb = request.has_lvb;
        if (request.has_lvb) call.lvb = request.lvb;
        result = lockspace_.unlock(call, now);
    }
    if (request.sequence != 0) replies_.push_back(wire::Reply{request.sequence, result.error, 0, result.completes});
    else if (result.error != 0) fail_silent(request.id, result.error, result.error == ENOENT, cookies);
    return true;
}

bool ClientOwner::on(const wire::Purge& request, Instant) {
    const dlm::PurgeCall call{id_, request.tid, static_cast<std::uint32_t>(request.node),
                              static_cast<std::uint32_t>(request.pid)};
    replies_.push_back(wire::Reply{request.sequence, lockspace_.purge(call), 0, false});
    return true;
}

bool ClientOwner::on(const wire::ReserveIds& request, Instant) {
    wire::ReservedIds answer{.sequence = request.sequence};
    ids_.clear();
    lockspace_.reserve_ids(id_, std::min<std::size_t>(request.count, wire::reserve_max), ids_);
    answer.count = static_cast<std::uint32_t>(ids_.size());
    SDLM_ASSERT(ids_.size() <= wire::reserve_max);
    std::copy(ids_.begin(), ids_.end(), answer.ids.begin());
    replies_.push_back(answer);
    return true;
}

// The ring has been read before this.
bool ClientOwner::on(const wire::Doorbell& request, Instant) {
    if (request.sequence != 0) replies_.push_back(wire::Reply{request.sequence, 0, 0, false});
    return true;
}

// The client did not wait for an answer, so that its error can only come as a completion.
void ClientOwner::fail_silent(dlm::LockId id, std::int32_t error, bool dead, const dlm::Cookies& cookies) {
    dlm::Callback failed;
    failed.owner = id_;
    failed.id = id;
    failed.status = error;
    failed.dead = dead;
    failed.cookies = cookies;
    lockspace_.callbacks().push_back(failed);
}

bool ClientOwner::push(const dlm::Callback& callback) {
    if (unsent_.size() + queue_.size() < callbacks_waiting_max && queue_.push(callback)) return true;
    return fail("it does not read its callbacks");
}

bool ClientOwner::send_replies(PacketBatch& batch) {
    std::size_t sent = 0;
    while (sent < replies_.size()) {
        batch.clear();
        for (std::size_t i = sent; i < replies_.size() && !batch.full(); ++i) wire::encode(replies_[i], batch.add());
        const int took = batch.send(requests_.get());
        if (took < 0) return fail(is_wait(errno) ? "it does not read its answers" : nullptr);
        sent += static_cast<unsigned>(took);
    }
    replies_.clear();
    return true;
}

ClientOwner::Flow ClientOwner::flush(PacketBatch& batch) {
    if (!replies_.empty() && !send_replies(batch)) return Flow::gone;
    for (;;) {
        while (unsent_.size() < unsent_max) {
            const auto next = queue_.pop();
            if (!next) break;
            unsent_.push_back(to_wire(*next));
        }
        if (unsent_.empty()) return Flow::open;
        const int took = batch.send_callbacks(callbacks_.get(), unsent_);
        if (took < 0) return is_wait(errno) ? Flow::blocked : Flow::gone;
        unsent_.erase(unsent_.begin(), unsent_.begin() + took);
    }
}

}  // namespace sdlm::tools
