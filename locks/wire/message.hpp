// SPDX-License-Identifier: LGPL-2.1-or-later
// The messages between libdlm and the node daemon as checked values, and their bytes. A packet of a SOCK_SEQPACKET
// socket is one message, but for callbacks, which share packets. Nothing here does I/O or allocates; libdlm is built
// from the same sources. see CLIENT.md
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

namespace sdlm::wire {

inline constexpr std::uint32_t protocol_version = 2;
inline constexpr std::size_t name_bytes_max = 64;            // of lockspaces and resources
inline constexpr std::size_t lvb_bytes = 32;
inline constexpr std::size_t header_bytes = 8;
inline constexpr std::size_t message_bytes_max = 1024;       // of any message; asserted by the codec
inline constexpr std::size_t callback_packet_bytes = 4096;   // of a packet of callbacks
inline constexpr std::uint32_t reserve_max = 240;            // ids asked for at once

inline constexpr const char* control_socket_name = "dlm.sock";   // in the run directory
inline constexpr const char* lockspace_directory = "dlm";        // in the run directory: one socket per lockspace
inline constexpr const char* lockspace_prefix = "ls.";           // its file name: prefix and name

using LvbBytes = std::array<std::byte, lvb_bytes>;

// Up to 64 bytes by value.
struct Name {
    std::array<char, name_bytes_max> bytes{};
    std::uint8_t length = 0;
    std::string_view view() const { return {bytes.data(), length}; }
    // `text` has at most name_bytes_max bytes.
    static Name of(std::string_view text);
    friend bool operator==(const Name& a, const Name& b) { return a.view() == b.view(); }
};

// Addresses and values of the client, opaque to the daemon, which gives them back with the callback.
struct Cookies {
    std::uint64_t ast = 0;
    std::uint64_t argument = 0;
    std::uint64_t bast = 0;
    std::uint64_t lksb = 0;
    friend bool operator==(const Cookies&, const Cookies&) = default;
};

// ---- on the control socket, client to daemon; each is answered by ControlReply ----
struct AskVersion {
    std::uint32_t version = protocol_version;
    friend bool operator==(const AskVersion&, const AskVersion&) = default;
};
struct CreateLockspace {
    std::uint32_t version = protocol_version;
    std::uint32_t flags = 0;                                 // of dlm_new_lockspace
    std::uint32_t mode = 0;
    Name name;
    friend bool operator==(const CreateLockspace&, const CreateLockspace&) = default;
};
struct ReleaseLockspace {
    std::uint32_t version = protocol_version;
    std::uint32_t force = 0;
    std::uint64_t owner = 0;                                 // closed by the caller just before, to be settled first
    Name name;
    friend bool operator==(const ReleaseLockspace&, const ReleaseLockspace&) = default;
};
// Answered when the end of the owner, if it has ended, has taken effect.
struct SettleOwner {
    std::uint32_t version = protocol_version;
    std::uint64_t owner = 0;
    friend bool operator==(const SettleOwner&, const SettleOwner&) = default;
};
struct ControlReply {
    std::int32_t error = 0;                                  // errno
    friend bool operator==(const ControlReply&, const ControlReply&) = default;
};

// ---- on a lockspace's socket ----
struct Hello {                                               // first message of a client
    std::uint32_t version = protocol_version;
    friend bool operator==(const Hello&, const Hello&) = default;
};
struct Welcome {                                             // its answer; carries the callback socket and the ring
    std::uint32_t version = protocol_version;
    std::int32_t error = 0;
    std::uint64_t owner = 0;
    friend bool operator==(const Welcome&, const Welcome&) = default;
};

// A request with sequence 0 is not answered: its result can only come as a callback.
struct Lock {
    std::uint32_t sequence = 0;
    std::uint32_t id = 0;                                    // CONVERT: the lock; new: a reserved id, or 0
    std::uint32_t flags = 0;                                 // LKF_*
    std::uint32_t tid = 0;
    std::uint32_t timeout_cs = 0;                            // 0: none
    std::uint8_t mode = 0;
    bool has_lvb = false;
    std::uint64_t xid = 0;
    Cookies cookies;
    LvbBytes lvb{};
    Name name;                                               // empty for CONVERT
    friend bool operator==(const Lock&, const Lock&) = default;
};
enum class UnlockKind : std::uint8_t { unlock = 0, deadlock_cancel = 1 };
struct Unlock {
    std::uint32_t sequence = 0;
    std::uint32_t id = 0;
    std::uint32_t flags = 0;
    UnlockKind kind = UnlockKind::unlock;
    bool has_lvb = false;
    std::uint64_t ast = 0;                                   // 0: the lock's last one
    std::uint64_t argument = 0;                              // 0: the lock's last one
    std::uint64_t lksb = 0;                                  // 0: the lock's last one
    LvbBytes lvb{};
    friend bool operator==(const Unlock&, const Unlock&) = default;
};
struct Purge {
    std::uint32_t sequence = 0;
    std::int32_t node = 0;
    std::int32_t pid = 0;
    std::uint32_t tid = 0;                                   // of the caller
    friend bool operator==(const Purge&, const Purge&) = default;
};
struct ReserveIds {
    std::uint32_t sequence = 0;
    std::uint32_t count = 0;                                 // 1 .. reserve_max
    friend bool operator==(const ReserveIds&, const ReserveIds&) = default;
};
// There are requests in the ring. With a sequence number: answered when they have been taken.
struct Doorbell {
    std::uint32_t sequence = 0;
    friend bool operator==(const Doorbell&, const Doorbell&) = default;
};
struct Reply {
    std::uint32_t sequence = 0;
    std::int32_t error = 0;                                  // errno
    std::uint32_t id = 0;                                    // of a new or adopted lock
    bool completes = false;                                  // a completion follows
    friend bool operator==(const Reply&, const Reply&) = default;
};
// The answer to ReserveIds.
struct ReservedIds {
    std::uint32_t sequence = 0;
    std::uint32_t count = 0;
    std::array<std::uint32_t, reserve_max> ids{};            // the first `count`
    friend bool operator==(const ReservedIds&, const ReservedIds&) = default;
};

// ---- on the callback socket, daemon to client ----
enum class CallbackKind : std::uint8_t { completion = 0, blocking = 1 };
struct Callback {
    CallbackKind kind = CallbackKind::completion;
    std::uint8_t sb_flags = 0;
    std::uint8_t mode = 0;                                   // completion: granted now; blocking: waited for
    bool dead = false;                                       // the id is no more
    bool has_lvb = false;
    std::uint32_t id = 0;
    std::int32_t status = 0;
    std::uint64_t function = 0;
    std::uint64_t argument = 0;
    std::uint64_t lksb = 0;
    LvbBytes lvb{};
    friend bool operator==(const Callback&, const Callback&) = default;
};

using Message = std::variant<std::monostate, AskVersion, CreateLockspace, ReleaseLockspace, SettleOwner, ControlReply,
                             Hello, Welcome, Lock, Unlock, Purge, ReserveIds, Reply, Callback, ReservedIds, Doorbell>;

// Bytes of an encoded message.
struct Packet {
    std::array<std::byte, message_bytes_max> bytes;          // not cleared: the first `size` count
    std::size_t size = 0;
    Packet() {}
    std::span<const std::byte> span() const { return std::span(bytes).first(size); }
};

// Bytes of several encoded callbacks, one after the other.
struct CallbackPacket {
    std::array<std::byte, callback_packet_bytes> bytes;      // not cleared
    std::size_t size = 0;
    CallbackPacket() {}
    std::span<const std::byte> span() const { return std::span(bytes).first(size); }
    bool append(const Callback& callback);                   // false: it does not fit any more
};

void encode(const Message& message, Packet& out);            // not of monostate
void encode(const Lock& message, Packet& out);
void encode(const Unlock& message, Packet& out);
void encode(const Callback& message, Packet& out);

// Static text that says what is wrong, or null and `out` is set. Every field is in its range then.
const char* decode(std::span<const std::byte> packet, Message& out);
// The same for a packet that can only be a Callback: no other type is accepted.
const char* decode(std::span<const std::byte> packet, Callback& out);
// The first callback of several, and the bytes it takes.
const char* decode_first(std::span<const std::byte> packet, Callback& out, std::size_t& taken);

}  // namespace sdlm::wire
