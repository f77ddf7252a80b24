// SPDX-License-Identifier: LGPL-2.1-or-later
// What the codecs of this folder share: the common block head, copies between buffers and structs, record lists.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "disk/base/assert.hpp"
#include "disk/base/crc32c.hpp"
#include "disk/base/ids.hpp"
#include "disk/base/result.hpp"
#include "disk/format/layout.hpp"
#include "disk/format/record.hpp"

namespace sdlm::disk {

// A kind of block: its magic and the field names of its errors.
struct BlockKind {
    std::uint32_t magic;
    const char* magic_field;
    const char* crc_field;
    const char* version_field;
    const char* node_field;
    const char* reserved_field;
    const char* offset_field;
    const char* volume_field;
    const char* count_field;
    const char* bytes_field;
    const char* padding_field;
};

template <DiskRecord T>
T load(std::span<const std::byte> bytes, std::size_t at = 0) {
    SDLM_ASSERT(bytes.size() >= sizeof(T) && at <= bytes.size() - sizeof(T));
    T out;
    std::memcpy(&out, bytes.data() + at, sizeof out);
    return out;
}

template <DiskRecord T>
void store(const T& value, std::span<std::byte> bytes, std::size_t at = 0) {
    SDLM_ASSERT(bytes.size() >= sizeof(T) && at <= bytes.size() - sizeof(T));
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

inline bool all_zero(const void* data, std::size_t bytes) {
    static constexpr std::array<unsigned char, 64> zeros{};
    const auto* p = static_cast<const unsigned char*>(data);
    for (; bytes >= zeros.size(); bytes -= zeros.size(), p += zeros.size())
        if (std::memcmp(p, zeros.data(), zeros.size()) != 0) return false;
    return std::memcmp(p, zeros.data(), bytes) == 0;
}
inline bool all_zero(std::span<const std::byte> bytes) { return all_zero(bytes.data(), bytes.size()); }
template <std::size_t N>
bool all_zero(const std::array<std::uint8_t, N>& bytes) { return all_zero(bytes.data(), N); }

inline layout::BlockHead make_head(const BlockKind& kind, NodeIndex node, const Uuid& volume, std::uint64_t offset) {
    layout::BlockHead head{};
    head.magic.set(kind.magic);
    head.version.set(format_version);
    head.node.set(node);
    head.offset.set(offset);
    head.volume = volume.bytes;
    return head;
}

// The last step of every encode: everything behind the crc is in its place.
inline void seal(std::span<std::byte> block) {
    Le32 crc;
    crc.set(crc32c(block.subspan(sizeof crc)));
    std::memcpy(block.data(), &crc, sizeof crc);
}

// Checks magic, checksum and version in this order. `block` is all that the checksum covers.
inline Result<layout::BlockHead> open_block(std::span<const std::byte> block, const BlockKind& kind,
                                            std::uint64_t offset) {
    const auto head = load<layout::BlockHead>(block);
    if (head.magic.get() != kind.magic)
        return Error{.code = Errc::bad_magic, .offset = offset, .field = kind.magic_field};
    if (head.crc.get() != crc32c(block.subspan(sizeof head.crc)))
        return Error{.code = Errc::bad_checksum, .offset = offset, .field = kind.crc_field};
    if (head.version.get() != format_version)
        return Error{.code = Errc::bad_version, .offset = offset, .field = kind.version_field};
    return head;
}

// Volume, place and reserved bytes; the caller judges the node.
inline Result<layout::BlockHead> open_block(std::span<const std::byte> block, const BlockKind& kind,
                                            const Uuid& volume, std::uint64_t offset) {
    SDLM_TRY(head, open_block(block, kind, offset));
    if (head.volume != volume.bytes)
        return Error{.code = Errc::wrong_volume, .offset = offset, .field = kind.volume_field};
    if (head.offset.get() != offset)
        return Error{.code = Errc::wrong_block, .offset = offset, .field = kind.offset_field};
    return head;
}

// Text in a fixed array: as long as the array or ended by a zero byte; nothing but zeros behind it.
template <std::size_t N>
void put_text(std::string_view text, std::array<std::uint8_t, N>& out) {
    SDLM_ASSERT(text.size() <= N);
    out.fill(0);
    std::copy(text.begin(), text.end(), out.begin());
}
template <std::size_t N>
bool get_text(const std::array<std::uint8_t, N>& in, std::string& out) {
    const auto end = std::find(in.begin(), in.end(), std::uint8_t{0});
    if (std::any_of(end, in.end(), [](std::uint8_t b) { return b != 0; })) return false;
    if (std::any_of(in.begin(), end, [](std::uint8_t b) { return b < 0x20 || b == 0x7f; })) return false;
    out.assign(in.begin(), end);
    return true;
}

// The record list of a slot or a page: exactly `count` records in `record_bytes` bytes from `start`, zeros behind them.
// Checks the sizes against the block; the records themselves are checked by decode_list().
Result<void> check_list(std::span<const std::byte> block, std::size_t start, std::uint32_t count,
                        std::uint32_t record_bytes, const BlockKind& kind, std::uint64_t offset);
// Appends the records to `out`, or leaves it as it was and names the record's byte offset on the device.
Result<void> decode_list(std::span<const std::byte> block, std::size_t start, std::uint32_t count,
                         std::uint32_t record_bytes, const BlockKind& kind, std::uint64_t offset,
                         std::vector<Record>& out);

}  // namespace sdlm::disk
