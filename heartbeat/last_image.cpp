// SPDX-License-Identifier: LGPL-2.1-or-later
#include "heartbeat/last_image.hpp"

#include <algorithm>
#include <array>

#include "disk/base/canary.hpp"
#include "disk/format/slot.hpp"

namespace sdlm::heartbeat {

Result<std::vector<std::byte>> make_last_image(std::span<const std::byte> block, const Uuid& volume, NodeIndex node,
                                               std::uint64_t offset, const Incarnation& life,
                                               std::uint64_t submitted) {
    SDLM_TRY(header, disk::decode_slot_header(block, volume, node, offset));
    if (header.incarnation != life) return Error{.code = Errc::busy, .offset = offset, .field = "incarnation"};
    if (header.state != disk::SlotState::live && header.state != disk::SlotState::leaving)
        return Error{.code = Errc::stale, .offset = offset, .field = "state"};
    std::vector<disk::Record> records;
    if (auto decoded = disk::decode_slot_records(block, offset, records); !decoded) return decoded.error();
    if (SDLM_CANARY(11)) records.clear();
    std::vector<std::byte> encoded;
    for (const disk::Record& record : records) {
        std::array<std::byte, disk::record_bytes_max> buffer;
        const std::size_t bytes = disk::encode(record, buffer, 0);
        encoded.insert(encoded.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(bytes));
    }
    header.state = disk::SlotState::fenced;
    header.sequence = std::max(header.sequence, submitted) + 1;
    header.unsettled = false;
    std::vector<std::byte> image(block.size());
    disk::encode_slot(header, static_cast<std::uint32_t>(records.size()), encoded, volume, offset, image);
    return image;
}

}  // namespace sdlm::heartbeat
