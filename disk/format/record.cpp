// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/format/record.hpp"

#include <algorithm>

#include "disk/format/block.hpp"

namespace sdlm::disk {

namespace {

using layout::padded;
using layout::RecordHead;
using layout::RecordKind;

constexpr std::uint8_t u8(std::size_t value) { return static_cast<std::uint8_t>(value); }

// Writes a record's parts one after the other; the record's last 8 bytes are zeroed first, so padding is zero.
class RecordWriter {
public:
    RecordWriter(std::span<std::byte> out, std::size_t at, std::size_t record_bytes)
        : out_(out.subspan(at, record_bytes)) {
        std::memset(out_.data() + out_.size() - 8, 0, 8);
    }
    template <DiskRecord T>
    void put(const T& value) {
        store(value, out_, at_);
        at_ += sizeof value;
    }
    void put64(std::uint64_t value) {
        Le64 raw;
        raw.set(value);
        put(raw);
    }
    void put(const void* bytes, std::size_t count) {
        SDLM_ASSERT(count <= out_.size() - at_);
        if (count != 0) std::memcpy(out_.data() + at_, bytes, count);
        at_ += count;
    }
    void pad() {
        const std::size_t end = padded(at_);
        SDLM_ASSERT(end <= out_.size());
        std::memset(out_.data() + at_, 0, end - at_);
        at_ = end;
    }

private:
    std::span<std::byte> out_;
    std::size_t at_ = 0;
};

RecordHead make_record_head(RecordKind kind, std::size_t record_bytes, std::uint16_t flags) {
    SDLM_ASSERT(record_bytes % 8 == 0 && record_bytes <= record_bytes_max);
    RecordHead head{};
    head.kind = static_cast<std::uint8_t>(kind);
    head.length8 = u8(record_bytes / 8);
    head.flags.set(flags);
    return head;
}

unsigned waits_count(const LockRecord& lock) {
    return static_cast<unsigned>(
        std::count_if(lock.waits_for.begin(), lock.waits_for.end(), [](std::uint64_t tag) { return tag != 0; }));
}

std::uint16_t flags_of(const LockRecord& lock) {
    unsigned flags = 0;
    const auto flag = [&flags](bool on, std::uint16_t bit) { flags |= on ? unsigned{bit} : 0U; };
    flag(lock.noqueue, layout::lock_noqueue);
    flag(lock.convert, layout::lock_convert);
    flag(lock.noqueue_bast, layout::lock_noqueue_bast);
    flag(lock.interest, layout::lock_interest);
    flag(lock.orphan_lvb, layout::lock_orphan_lvb);
    flag(lock.answered != 0, layout::lock_has_answered);
    flag(lock.owner_tag != 0, layout::lock_has_tag);
    flag(lock.spared, layout::lock_spared);
    flags |= waits_count(lock) << layout::lock_waits_shift;
    flag(lock.lvb.version != 0, layout::lock_has_lvb);
    flag(lock.lvb.version != 0 && lock.lvb.valid, layout::lock_lvb_valid);
    return static_cast<std::uint16_t>(flags);
}

std::size_t fact_bytes(std::size_t body_bytes) { return sizeof(RecordHead) + body_bytes; }

std::uint16_t fact_flags(bool removed, bool settled) {
    return static_cast<std::uint16_t>((removed ? layout::fact_removed : 0U) | (settled ? layout::fact_settled : 0U));
}

std::size_t encode_fact(RecordKind kind, NodeIndex node, const layout::EvictBody& body, std::size_t body_bytes,
                        std::uint16_t flags, std::span<std::byte> out, std::size_t at) {
    const std::size_t bytes = fact_bytes(body_bytes);
    auto head = make_record_head(kind, bytes, flags);
    head.subject.set(node);
    RecordWriter writer(out, at, bytes);
    writer.put(head);
    writer.put(&body, body_bytes);
    return at + bytes;
}

layout::EvictBody body_of(const Incarnation& incarnation, std::uint64_t last_sequence) {
    layout::EvictBody body{};
    body.generation.set(incarnation.generation);
    body.nonce.set(incarnation.nonce);
    body.last_sequence.set(last_sequence);
    return body;
}

// Reads a record's parts; nullptr from bytes() and false from get() when the record ends before them.
class RecordReader {
public:
    explicit RecordReader(std::span<const std::byte> record) : record_(record) {}
    template <DiskRecord T>
    bool get(T& value) {
        if (left() < sizeof value) return false;
        value = load<T>(record_, at_);
        at_ += sizeof value;
        return true;
    }
    bool get64(std::uint64_t& value) {
        Le64 raw;
        if (!get(raw)) return false;
        value = raw.get();
        return true;
    }
    bool get(void* bytes, std::size_t count) {
        if (left() < count) return false;
        if (count != 0) std::memcpy(bytes, record_.data() + at_, count);
        at_ += count;
        return true;
    }
    bool get(std::string& text, std::size_t count) {
        if (left() < count) return false;
        text.resize(count);
        return get(text.data(), count);
    }
    // Moves to the next multiple of 8; false when a byte on the way is not zero.
    bool skip_padding() {
        const std::size_t end = padded(at_);
        if (end > record_.size() || !all_zero(record_.data() + at_, end - at_)) return false;
        at_ = end;
        return true;
    }
    bool at_end() const { return left() == 0; }

private:
    std::size_t left() const { return record_.size() - at_; }
    std::span<const std::byte> record_;
    std::size_t at_ = 0;
};

Error bad(const char* field) { return Error{.code = Errc::bad_field, .field = field}; }

bool good_lockspace(const std::string& name) {
    return std::none_of(name.begin(), name.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7f || byte == '/';
    });
}

// nullptr, or the name of the bad field.
const char* read_lvb(RecordReader& reader, Lvb& lvb) {
    layout::LvbHead head{};
    if (!reader.get(head)) return "record.length";
    lvb.version = head.version.get();
    lvb.length = head.length;
    if (lvb.version == 0 || lvb.length > limits::lvb_bytes_max) return "record.lvb";
    if (!all_zero(head.reserved)) return "record.reserved";
    if (!reader.get(lvb.bytes.data(), lvb.length)) return "record.length";
    return reader.skip_padding() ? nullptr : "record.reserved";
}

const char* read_names(RecordReader& reader, const RecordHead& head, std::string& lockspace, std::string* name) {
    if (head.lockspace_bytes < 1 || head.lockspace_bytes > limits::lockspace_name_max) return "record.lockspace";
    if (head.name_bytes > (name != nullptr ? limits::resource_name_max : 0)) return "record.name";
    if (!reader.get(lockspace, head.lockspace_bytes)) return "record.length";
    if (!good_lockspace(lockspace)) return "record.lockspace";
    if (name != nullptr && !reader.get(*name, head.name_bytes)) return "record.length";
    if (!reader.skip_padding()) return "record.reserved";
    return reader.at_end() ? nullptr : "record.length";
}

Result<Record> decode_lock(const RecordHead& head, RecordReader& reader) {
    const unsigned flags = head.flags.get();
    const auto has = [flags](std::uint16_t bit) { return (flags & bit) != 0; };
    if ((flags & ~unsigned{layout::lock_flags_known}) != 0) return bad("record.flags");
    const unsigned held = head.modes & 0x0fU;
    const unsigned want = head.modes >> 4U;
    constexpr auto mode_max = static_cast<unsigned>(Mode::EX);
    if (held > mode_max || want > mode_max) return bad("record.mode");
    if (head.phase > static_cast<unsigned>(Phase::waiting)) return bad("record.phase");

    LockEntry entry;
    LockRecord& lock = entry.lock;
    lock.held = static_cast<Mode>(held);
    lock.want = static_cast<Mode>(want);
    lock.phase = static_cast<Phase>(head.phase);
    lock.noqueue = has(layout::lock_noqueue);
    lock.convert = has(layout::lock_convert);
    lock.noqueue_bast = has(layout::lock_noqueue_bast);
    lock.interest = has(layout::lock_interest);
    lock.orphan_lvb = has(layout::lock_orphan_lvb);
    lock.ticket = head.subject.get();
    if (has(layout::lock_has_answered)) {
        if (!reader.get64(lock.answered)) return bad("record.length");
        if (lock.answered == 0) return bad("record.answered");
    }
    if (has(layout::lock_has_tag)) {
        if (!reader.get64(lock.owner_tag)) return bad("record.length");
        if (lock.owner_tag == 0) return bad("record.owner_tag");
    }
    lock.spared = has(layout::lock_spared);
    const unsigned waits = (flags & layout::lock_waits_mask) >> layout::lock_waits_shift;
    if (waits > waits_for_max) return bad("record.waits_for");
    for (unsigned i = 0; i < waits; ++i) {
        if (!reader.get64(lock.waits_for[i])) return bad("record.length");
        if (lock.waits_for[i] == 0) return bad("record.waits_for");
    }
    if (has(layout::lock_has_lvb)) {
        if (const char* field = read_lvb(reader, lock.lvb)) return bad(field);
        lock.lvb.valid = has(layout::lock_lvb_valid);
    } else if (has(layout::lock_lvb_valid)) {
        return bad("record.lvb");
    }
    if (const char* field = read_names(reader, head, entry.key.lockspace, &entry.key.name)) return bad(field);
    return Record{std::move(entry)};
}

// Evict and fence differ in the length of the body only.
const char* read_fact(const RecordHead& head, RecordReader& reader, std::size_t body_bytes, layout::EvictBody& body) {
    if (head.subject.get() >= limits::slots_max) return "record.node";
    if (head.modes != 0 || head.phase != 0 || head.lockspace_bytes != 0 || head.name_bytes != 0)
        return "record.reserved";
    const unsigned known = body_bytes == layout::fence_body_bytes ? layout::fact_removed
                                                                  : layout::fact_removed | layout::fact_settled;
    if ((head.flags.get() & ~known) != 0) return "record.flags";
    if (!reader.get(&body, body_bytes) || !reader.at_end()) return "record.length";
    return nullptr;
}

Result<Record> decode_evict(const RecordHead& head, RecordReader& reader) {
    layout::EvictBody body{};
    if (const char* field = read_fact(head, reader, sizeof body, body)) return bad(field);
    EvictEntry entry;
    entry.node = static_cast<NodeIndex>(head.subject.get());
    entry.evict = {{body.generation.get(), body.nonce.get()},
                   body.last_sequence.get(),
                   (head.flags.get() & layout::fact_removed) != 0,
                   (head.flags.get() & layout::fact_settled) != 0};
    return Record{entry};
}

Result<Record> decode_fence(const RecordHead& head, RecordReader& reader) {
    layout::EvictBody body{};
    if (const char* field = read_fact(head, reader, layout::fence_body_bytes, body)) return bad(field);
    FenceEntry entry;
    entry.node = static_cast<NodeIndex>(head.subject.get());
    entry.fence = {{body.generation.get(), body.nonce.get()}, head.flags.get() == layout::fact_removed};
    return Record{entry};
}

Result<Record> decode_member(const RecordHead& head, RecordReader& reader) {
    if (head.subject.get() != 0 || head.modes != 0 || head.phase != 0) return bad("record.reserved");
    if ((head.flags.get() & ~unsigned{layout::fact_removed}) != 0) return bad("record.flags");
    MemberEntry entry;
    entry.member.left = head.flags.get() == layout::fact_removed;
    if (const char* field = read_names(reader, head, entry.lockspace, nullptr)) return bad(field);
    return Record{std::move(entry)};
}

struct EncodedBytes {
    std::size_t operator()(const LockEntry& entry) const { return encoded_bytes(entry.key, entry.lock); }
    std::size_t operator()(const EvictEntry&) const { return fact_bytes(sizeof(layout::EvictBody)); }
    std::size_t operator()(const FenceEntry&) const { return fact_bytes(layout::fence_body_bytes); }
    std::size_t operator()(const MemberEntry& entry) const {
        return sizeof(RecordHead) + padded(entry.lockspace.size());
    }
};

struct Encoder {
    std::span<std::byte> out;
    std::size_t at;
    std::size_t operator()(const LockEntry& entry) const { return encode(entry.key, entry.lock, out, at); }
    std::size_t operator()(const EvictEntry& entry) const {
        const auto body = body_of(entry.evict.incarnation, entry.evict.last_sequence);
        return encode_fact(RecordKind::evict, entry.node, body, sizeof body,
                           fact_flags(entry.evict.retracted, entry.evict.settled), out, at);
    }
    std::size_t operator()(const FenceEntry& entry) const {
        const auto body = body_of(entry.fence.incarnation, 0);
        return encode_fact(RecordKind::fence, entry.node, body, layout::fence_body_bytes,
                           fact_flags(entry.fence.retracted, false), out, at);
    }
    std::size_t operator()(const MemberEntry& entry) const {
        SDLM_ASSERT(!entry.lockspace.empty() && entry.lockspace.size() <= limits::lockspace_name_max);
        const std::size_t bytes = EncodedBytes{}(entry);
        const auto flags = entry.member.left ? layout::fact_removed : std::uint16_t{0};
        auto head = make_record_head(RecordKind::member, bytes, flags);
        head.lockspace_bytes = u8(entry.lockspace.size());
        RecordWriter writer(out, at, bytes);
        writer.put(head);
        writer.put(entry.lockspace.data(), entry.lockspace.size());
        return at + bytes;
    }
};

}  // namespace

bool LockRecord::gone() const {
    return held == Mode::NL && phase == Phase::none && !interest && !orphan_lvb && lvb.version == 0;
}

std::size_t encoded_bytes(const ResourceKey& key, const LockRecord& lock) {
    std::size_t bytes = sizeof(RecordHead);
    if (lock.answered != 0) bytes += 8;
    if (lock.owner_tag != 0) bytes += 8;
    bytes += 8 * waits_count(lock);
    if (lock.lvb.version != 0) bytes += sizeof(layout::LvbHead) + padded(lock.lvb.length);
    return bytes + padded(key.lockspace.size() + key.name.size());
}

std::size_t encoded_bytes(const Record& record) { return std::visit(EncodedBytes{}, record); }

std::size_t encode(const ResourceKey& key, const LockRecord& lock, std::span<std::byte> out, std::size_t at) {
    SDLM_ASSERT(!key.lockspace.empty() && key.lockspace.size() <= limits::lockspace_name_max);
    SDLM_ASSERT(key.name.size() <= limits::resource_name_max);
    SDLM_ASSERT(lock.lvb.length <= limits::lvb_bytes_max);
    const std::size_t bytes = encoded_bytes(key, lock);
    SDLM_ASSERT(at <= out.size() && bytes <= out.size() - at);
    auto head = make_record_head(RecordKind::lock, bytes, flags_of(lock));
    head.modes = u8(static_cast<unsigned>(lock.held) | static_cast<unsigned>(lock.want) << 4U);
    head.phase = static_cast<std::uint8_t>(lock.phase);
    head.lockspace_bytes = u8(key.lockspace.size());
    head.name_bytes = u8(key.name.size());
    head.subject.set(lock.ticket);

    RecordWriter writer(out, at, bytes);
    writer.put(head);
    if (lock.answered != 0) writer.put64(lock.answered);
    if (lock.owner_tag != 0) writer.put64(lock.owner_tag);
    for (std::uint64_t tag : lock.waits_for)
        if (tag != 0) writer.put64(tag);
    if (lock.lvb.version != 0) {
        layout::LvbHead lvb{};
        lvb.version.set(lock.lvb.version);
        lvb.length = lock.lvb.length;
        writer.put(lvb);
        writer.put(lock.lvb.bytes.data(), lock.lvb.length);
        writer.pad();
    }
    writer.put(key.lockspace.data(), key.lockspace.size());
    writer.put(key.name.data(), key.name.size());
    return at + bytes;
}

std::size_t encode(const Record& record, std::span<std::byte> out, std::size_t at) {
    SDLM_ASSERT(at <= out.size() && encoded_bytes(record) <= out.size() - at);
    return std::visit(Encoder{out, at}, record);
}

Result<Record> decode_record(std::span<const std::byte> bytes, std::size_t& at) {
    if (at > bytes.size() || bytes.size() - at < sizeof(RecordHead)) return bad("record.length");
    const auto head = load<RecordHead>(bytes, at);
    const std::size_t length = std::size_t{head.length8} * 8;
    if (head.kind < static_cast<unsigned>(RecordKind::lock) || head.kind > static_cast<unsigned>(RecordKind::member))
        return bad("record.kind");
    if (length < sizeof(RecordHead) || length > record_bytes_max || length > bytes.size() - at)
        return bad("record.length");

    RecordReader reader(bytes.subspan(at + sizeof head, length - sizeof head));
    auto decoded = [&]() -> Result<Record> {
        switch (static_cast<RecordKind>(head.kind)) {
            case RecordKind::lock: return decode_lock(head, reader);
            case RecordKind::evict: return decode_evict(head, reader);
            case RecordKind::fence: return decode_fence(head, reader);
            case RecordKind::member: return decode_member(head, reader);
        }
        SDLM_UNREACHABLE();
    }();
    if (decoded) at += length;
    return decoded;
}

Result<void> check_list(std::span<const std::byte> block, std::size_t start, std::uint32_t count,
                        std::uint32_t record_bytes, const BlockKind& kind, std::uint64_t offset) {
    const auto bad_here = [&](const char* field) {
        return Error{.code = Errc::bad_field, .offset = offset, .field = field};
    };
    if (start > block.size() || record_bytes > block.size() - start || record_bytes % 8 != 0)
        return bad_here(kind.bytes_field);
    if (count > record_bytes / sizeof(RecordHead) || (count == 0) != (record_bytes == 0))
        return bad_here(kind.count_field);
    if (!all_zero(block.subspan(start + record_bytes))) return bad_here(kind.padding_field);
    return {};
}

Result<void> decode_list(std::span<const std::byte> block, std::size_t start, std::uint32_t count,
                         std::uint32_t record_bytes, const BlockKind& kind, std::uint64_t offset,
                         std::vector<Record>& out) {
    const auto list = block.subspan(start, record_bytes);
    const auto before = static_cast<std::ptrdiff_t>(out.size());
    std::size_t at = 0;
    out.reserve(out.size() + count);
    for (std::uint32_t i = 0; i < count; ++i) {
        auto record = decode_record(list, at);
        if (!record) {
            out.erase(out.begin() + before, out.end());
            Error error = record.error();
            error.offset = offset + start + at;
            return error;
        }
        out.push_back(std::move(*record));
    }
    if (at != list.size()) {
        out.erase(out.begin() + before, out.end());
        return Error{.code = Errc::bad_field, .offset = offset, .field = kind.count_field};
    }
    return {};
}

}  // namespace sdlm::disk
