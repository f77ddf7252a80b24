// SPDX-License-Identifier: LGPL-2.1-or-later
// One open lockspace handle of a program, as the daemon sees it: a request socket and a ring that are read, a callback
// socket that is written, and the callbacks that do not fit into it yet. Translates; decides nothing.
// see locks/wire/CLIENT.md
#pragma once
#include <sys/socket.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "locks/dlm/delivery_queue.hpp"
#include "locks/dlm/lockspace.hpp"
#include "locks/wire/message.hpp"
#include "tools/common/unique_fd.hpp"
#include "tools/sdlmd/client_ring.hpp"

namespace sdlm::tools {

// Buffers for many packets in one system call; one set serves all clients.
class PacketBatch {
public:
    static constexpr unsigned packets_max = 64;
    static constexpr unsigned callback_packets_max = 16;
    PacketBatch();
    // Packets received (an empty one is the end), or -1 with errno.
    int receive(int fd);
    std::span<const std::byte> received(unsigned index) const;

    void clear() { count_ = 0; }
    bool full() const { return count_ == packets_max; }
    unsigned count() const { return count_; }
    wire::Packet& add() { return packets_[count_++]; }
    // Packets that the socket took, or -1 with errno.
    int send(int fd);

    // Puts as many as fit into packets and sends them. Callbacks that the socket took, or -1 with errno.
    int send_callbacks(int fd, std::span<const wire::Callback> callbacks);

private:
    static constexpr std::size_t receive_bytes = wire::message_bytes_max + 1;     // one more shows what is too long
    int send_prepared(int fd, unsigned count);
    std::array<wire::Packet, packets_max> packets_;
    std::array<wire::CallbackPacket, callback_packets_max> callback_packets_;
    std::array<std::array<std::byte, receive_bytes>, packets_max> bytes_;
    std::array<iovec, packets_max> vectors_{};
    std::array<mmsghdr, packets_max> headers_{};
    unsigned count_ = 0;
};

class ClientOwner {
public:
    enum class Flow : std::uint8_t { open, blocked, gone };

    ClientOwner(dlm::Lockspace& lockspace, UniqueFd requests, UniqueFd callbacks, ClientRing ring, const ucred& peer,
                std::uint64_t token);
    ~ClientOwner();                              // its locks go
    ClientOwner(const ClientOwner&) = delete;
    ClientOwner& operator=(const ClientOwner&) = delete;

    int requests_fd() const { return requests_.get(); }
    int callbacks_fd() const { return callbacks_.get(); }
    dlm::OwnerId id() const { return id_; }
    std::uint64_t token() const { return token_; }
    const ucred& peer() const { return peer_; }

    // Takes what has arrived, about `messages` at most, and says how many; nullopt: the owner has ended or misbehaved
    // (problem() says how).
    std::optional<unsigned> serve(PacketBatch& batch, unsigned messages, Instant now);
    std::optional<unsigned> serve_ring(unsigned messages, Instant now);
    bool has_ring() const { return static_cast<bool>(ring_); }
    std::uint32_t under_way() const { return ring_ ? ring_.under_way() : 0; }    // operations, as the client says
    // The client rings from now on. False: there is something in the ring already.
    bool rest() const { return !ring_ || ring_.rest(); }
    // Every copy of one of its sockets is closed.
    bool closed() const;
    bool push(const dlm::Callback& callback);    // false: it reads too little
    bool idle() { return replies_.empty() && unsent_.empty() && queue_.empty(); }
    // Sends answers and callbacks. blocked: more when the callback socket is writable.
    Flow flush(PacketBatch& batch);
    const char* problem() const { return problem_; }

    // The rings of busy owners are looked at by the clock: so many requests cost one wake-up.
    enum class Pace : std::uint8_t { woken, timed };
    Pace pace = Pace::woken;
    unsigned empty_looks = 0;                    // in a row, while timed

private:
    bool take(std::span<const std::byte> packet, Instant now);
    bool take_from_ring(Instant now, unsigned messages, unsigned& taken);
    bool on(const wire::Lock& request, Instant now);
    bool on(const wire::Unlock& request, Instant now);
    bool on(const wire::Purge& request, Instant now);
    bool on(const wire::ReserveIds& request, Instant now);
    bool on(const wire::Doorbell& request, Instant now);
    template <class M>
    bool on(const M&, Instant) {
        return fail("a message that is no request");
    }
    bool fail(const char* problem);
    void fail_silent(dlm::LockId id, std::int32_t error, bool dead, const dlm::Cookies& cookies);
    bool send_replies(PacketBatch& batch);

    dlm::Lockspace& lockspace_;
    UniqueFd requests_, callbacks_;
    const ClientRing ring_memory_;
    wire::RingReader ring_;
    wire::Packet from_ring_;                     // a copy of one message
    const ucred peer_;
    const std::uint64_t token_;
    const dlm::OwnerId id_;
    dlm::DeliveryQueue queue_;
    std::vector<wire::Callback> unsent_;         // taken from the queue, refused by the socket; oldest first
    std::vector<wire::Message> replies_;
    std::vector<dlm::LockId> ids_;               // scratch
    const char* problem_ = nullptr;
};

}  // namespace sdlm::tools
