// SPDX-License-Identifier: LGPL-2.1-or-later
// What the targets for on-disk blocks share. The first byte of an input holds switches, the rest is the block. A random
// checksum, place or volume is refused at once: with a switch set they are made right, and what lies behind is reached.
// The place and the owner are those of the golden images, which are the first seeds.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "disk/format/block.hpp"

namespace sdlm::fuzz {

using Bytes = std::vector<std::byte>;

inline constexpr unsigned seal_switch = 0x01;      // the checksum becomes right
inline constexpr unsigned place_switch = 0x02;     // magic, version, owner, offset and volume become right

inline constexpr NodeIndex block_node = 3;
inline constexpr Incarnation block_life{2, 0x5f3759df01020304};
inline constexpr Uuid block_volume{
    {0x8a, 0x6e, 0x08, 0x04, 0x2b, 0xd0, 0x46, 0x72, 0xb7, 0x9d, 0xd9, 0x70, 0x27, 0xf9, 0x07, 0x1a}};

struct BlockInput {
    unsigned switches = 0;
    std::span<const std::byte> bytes;
    BlockInput(const std::uint8_t* data, std::size_t size) {
        if (size == 0) return;
        switches = data[0];
        bytes = std::as_bytes(std::span(data + 1, size - 1));
    }
};

inline void write_head(std::span<std::byte> block, std::uint32_t magic, NodeIndex node, const Uuid& volume,
                       std::uint64_t offset) {
    disk::BlockKind kind{};
    kind.magic = magic;
    auto head = disk::make_head(kind, node, volume, offset);
    head.reserved = disk::load<disk::layout::BlockHead>(block).reserved;
    disk::store(head, block);
}

// `block_bytes` of the input, zeros where it ends earlier, with what the switches ask for.
inline Bytes make_block(const BlockInput& input, std::size_t block_bytes, std::uint32_t magic, NodeIndex node,
                        std::uint64_t offset) {
    Bytes block(block_bytes);
    const std::size_t given = std::min(block_bytes, input.bytes.size());
    std::copy_n(input.bytes.begin(), given, block.begin());
    if ((input.switches & place_switch) != 0) write_head(block, magic, node, block_volume, offset);
    if ((input.switches & seal_switch) != 0) disk::seal(block);
    return block;
}

// The bytes that these records came from, if no two images decode to the same records.
inline Bytes encode_all(const std::vector<disk::Record>& records) {
    std::size_t bytes = 0;
    for (const auto& record : records) bytes += disk::encoded_bytes(record);
    Bytes out(bytes);
    std::size_t at = 0;
    for (const auto& record : records) at = disk::encode(record, out, at);
    SDLM_ASSERT(at == bytes);
    return out;
}

}  // namespace sdlm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
