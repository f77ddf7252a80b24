// SPDX-License-Identifier: LGPL-2.1-or-later
#include "locks/wire/message.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "disk/base/assert.hpp"

namespace sdlm::wire {

Name Name::of(std::string_view text) {
    Name out;
    out.length = static_cast<std::uint8_t>(std::min(text.size(), name_bytes_max));
    std::copy_n(text.begin(), out.length, out.bytes.begin());
    return out;
}

namespace {

// The type of a message on the wire is its place in the variant; places are never given away again.
template <class T, std::size_t I = 0>
constexpr std::uint16_t type_of() {
    static_assert(I < std::variant_size_v<Message>);
    if constexpr (std::is_same_v<std::variant_alternative_t<I, Message>, T>) return I;
    else return type_of<T, I + 1>();
}
static_assert(type_of<AskVersion>() == 1 && type_of<Hello>() == 6 && type_of<Callback>() == 13);

template <class P>
class Writer {
public:
    explicit Writer(P& out) : out_(out) {}
    template <class U>
    void put(U value) {
        static_assert(std::is_unsigned_v<U>);
        for (std::size_t i = 0; i < sizeof(U); ++i) {
            out_.bytes[out_.size++] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i));
        }
    }
    void field(bool v) { put(static_cast<std::uint8_t>(v)); }
    void field(std::uint8_t v) { put(v); }
    void field(std::uint32_t v) { put(v); }
    void field(std::int32_t v) { put(static_cast<std::uint32_t>(v)); }
    void field(std::uint64_t v) { put(v); }
    void field(UnlockKind v) { put(static_cast<std::uint8_t>(v)); }
    void field(CallbackKind v) { put(static_cast<std::uint8_t>(v)); }
    void field(const Cookies& v) { field(v.ast), field(v.argument), field(v.bast), field(v.lksb); }
    void raw(const void* bytes, std::size_t count) {
        if (count > 0) std::memcpy(out_.bytes.data() + out_.size, bytes, count);
        out_.size += count;
    }
    void field(const Name& v) {
        put(v.length);
        raw(v.bytes.data(), v.length);
    }
    void lvb(bool has, const LvbBytes& v) {
        if (has) raw(v.data(), v.size());
    }
    void fail(const char*) { SDLM_UNREACHABLE(); }           // the sender's own value is out of its range

private:
    P& out_;
};

class Reader {
public:
    explicit Reader(std::span<const std::byte> in) : in_(in) {}
    template <class U>
    U get() {
        static_assert(std::is_unsigned_v<U>);
        std::uint64_t value = 0;
        if (in_.size() < sizeof(U)) return fail("too short"), U{0};
        for (std::size_t i = 0; i < sizeof(U); ++i) value |= std::to_integer<std::uint64_t>(in_[i]) << (8 * i);
        in_ = in_.subspan(sizeof(U));
        return static_cast<U>(value);
    }
    void field(bool& v) {
        const auto byte = get<std::uint8_t>();
        if (byte > 1) fail("a yes or no that is neither");
        v = byte == 1;
    }
    void field(std::uint8_t& v) { v = get<std::uint8_t>(); }
    void field(std::uint32_t& v) { v = get<std::uint32_t>(); }
    void field(std::int32_t& v) { v = static_cast<std::int32_t>(get<std::uint32_t>()); }
    void field(std::uint64_t& v) { v = get<std::uint64_t>(); }
    void field(UnlockKind& v) {
        const auto byte = get<std::uint8_t>();
        if (byte > 1) fail("unknown kind of unlock");
        v = static_cast<UnlockKind>(byte);
    }
    void field(CallbackKind& v) {
        const auto byte = get<std::uint8_t>();
        if (byte > 1) fail("unknown kind of callback");
        v = static_cast<CallbackKind>(byte);
    }
    void field(Cookies& v) { field(v.ast), field(v.argument), field(v.bast), field(v.lksb); }
    void raw(void* bytes, std::size_t count) {
        if (in_.size() < count) return fail("too short");
        if (count > 0) std::memcpy(bytes, in_.data(), count);
        in_ = in_.subspan(count);
    }
    void field(Name& v) {
        const auto length = get<std::uint8_t>();
        if (length > name_bytes_max) return fail("a name of more than 64 bytes");
        v.length = length;
        raw(v.bytes.data(), length);
    }
    void lvb(bool has, LvbBytes& v) {
        if (has) raw(v.data(), v.size());
    }
    void fail(const char* why) {
        if (problem_ == nullptr) problem_ = why;
        in_ = {};
    }
    const char* finish() {
        if (problem_ == nullptr && !in_.empty()) problem_ = "bytes after the end";
        return problem_;
    }

private:
    std::span<const std::byte> in_;
    const char* problem_ = nullptr;
};

// The fields of each message in their order; C is Writer or Reader, M the message, const for a Writer.
template <class C, class... F>
void each(C& codec, F&... fields) {
    (codec.field(fields), ...);
}
template <class C, class M>
void fields(C& c, M& m) {
    using T = std::remove_const_t<M>;
    if constexpr (std::is_same_v<T, std::monostate>) {
    } else if constexpr (std::is_same_v<T, AskVersion> || std::is_same_v<T, Hello>) {
        each(c, m.version);
    } else if constexpr (std::is_same_v<T, CreateLockspace>) {
        each(c, m.version, m.flags, m.mode, m.name);
    } else if constexpr (std::is_same_v<T, ReleaseLockspace>) {
        each(c, m.version, m.force, m.owner, m.name);
    } else if constexpr (std::is_same_v<T, SettleOwner>) {
        each(c, m.version, m.owner);
    } else if constexpr (std::is_same_v<T, ControlReply>) {
        each(c, m.error);
    } else if constexpr (std::is_same_v<T, Welcome>) {
        each(c, m.version, m.error, m.owner);
    } else if constexpr (std::is_same_v<T, Lock>) {
        each(c, m.sequence, m.id, m.flags, m.tid, m.timeout_cs, m.mode, m.has_lvb, m.xid, m.cookies, m.name);
        c.lvb(m.has_lvb, m.lvb);
    } else if constexpr (std::is_same_v<T, Unlock>) {
        each(c, m.sequence, m.id, m.flags, m.kind, m.has_lvb, m.ast, m.argument, m.lksb);
        c.lvb(m.has_lvb, m.lvb);
    } else if constexpr (std::is_same_v<T, Purge>) {
        each(c, m.sequence, m.node, m.pid, m.tid);
    } else if constexpr (std::is_same_v<T, ReserveIds>) {
        each(c, m.sequence, m.count);
    } else if constexpr (std::is_same_v<T, Doorbell>) {
        each(c, m.sequence);
    } else if constexpr (std::is_same_v<T, Reply>) {
        each(c, m.sequence, m.error, m.id, m.completes);
    } else if constexpr (std::is_same_v<T, ReservedIds>) {
        each(c, m.sequence, m.count);
        if (m.count > reserve_max) return c.fail("more ids than can be asked for");
        for (std::uint32_t i = 0; i < m.count; ++i) c.field(m.ids[i]);
    } else {
        static_assert(std::is_same_v<T, Callback>);
        each(c, m.kind, m.sb_flags, m.mode, m.dead, m.has_lvb, m.id, m.status, m.function, m.argument, m.lksb);
        c.lvb(m.has_lvb, m.lvb);
    }
}

constexpr std::size_t lock_bytes_max = header_bytes + 5 * 4 + 2 + 8 + 4 * 8 + lvb_bytes + 1 + name_bytes_max;
constexpr std::size_t ids_bytes_max = header_bytes + 2 * 4 + reserve_max * 4;
static_assert(lock_bytes_max <= message_bytes_max && ids_bytes_max <= message_bytes_max, "the two longest messages");

constexpr std::size_t callback_bytes_max = header_bytes + 5 + 2 * 4 + 3 * 8 + lvb_bytes;

// Behind what is in `out` already.
template <class M, class P>
void encode_one(const M& message, P& out) {
    const std::size_t start = out.size;
    Writer<P> writer(out);
    writer.put(std::uint32_t{0});
    writer.put(type_of<M>());
    writer.put(std::uint16_t{0});
    fields(writer, message);
    const std::size_t end = out.size;
    out.size = start;
    writer.put(static_cast<std::uint32_t>(end - start));
    out.size = end;
}

const char* decode_header(std::span<const std::byte> packet, std::uint16_t& type) {
    if (packet.size() < header_bytes) return "shorter than a header";
    Reader reader(packet.first(header_bytes));
    if (reader.get<std::uint32_t>() != packet.size()) return "length field and packet disagree";
    type = reader.get<std::uint16_t>();
    if (reader.get<std::uint16_t>() != 0) return "reserved field is not zero";
    return nullptr;
}

template <class M>
const char* decode_body(std::span<const std::byte> packet, M& out) {
    Reader reader(packet.subspan(header_bytes));
    fields(reader, out);
    return reader.finish();
}

template <std::size_t... I>
const char* decode_any(std::uint16_t type, std::span<const std::byte> packet, Message& out, std::index_sequence<I...>) {
    const char* problem = "unknown type of message";
    const auto attempt = [&]<std::size_t N>(std::integral_constant<std::size_t, N>) {
        if (type == N + 1) problem = decode_body(packet, out.emplace<N + 1>());
    };
    (attempt(std::integral_constant<std::size_t, I>{}), ...);
    return problem;
}

}  // namespace

void encode(const Message& message, Packet& out) {
    out.size = 0;
    std::visit([&](const auto& m) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(m)>, std::monostate>) encode_one(m, out);
    }, message);
}
void encode(const Lock& message, Packet& out) { out.size = 0, encode_one(message, out); }
void encode(const Unlock& message, Packet& out) { out.size = 0, encode_one(message, out); }
void encode(const Callback& message, Packet& out) { out.size = 0, encode_one(message, out); }

bool CallbackPacket::append(const Callback& callback) {
    if (bytes.size() - size < callback_bytes_max) return false;
    encode_one(callback, *this);
    return true;
}

const char* decode(std::span<const std::byte> packet, Message& out) {
    std::uint16_t type = 0;
    if (const char* problem = decode_header(packet, type)) return problem;
    return decode_any(type, packet, out, std::make_index_sequence<std::variant_size_v<Message> - 1>{});
}

const char* decode(std::span<const std::byte> packet, Callback& out) {
    std::uint16_t type = 0;
    if (const char* problem = decode_header(packet, type)) return problem;
    if (type != type_of<Callback>()) return "not a callback";
    return decode_body(packet, out);
}

const char* decode_first(std::span<const std::byte> packet, Callback& out, std::size_t& taken) {
    if (packet.size() < header_bytes) return "shorter than a header";
    const auto length = Reader(packet).get<std::uint32_t>();
    if (length > packet.size()) return "length field beyond the packet";
    taken = length;
    return decode(packet.first(length), out);
}

}  // namespace sdlm::wire
