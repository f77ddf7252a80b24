// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/format/slot.hpp"

#include "disk/format/block.hpp"

namespace sdlm::disk {

namespace {
constexpr BlockKind kind{
    .magic = layout::slot_magic,
    .magic_field = "slot.magic",
    .crc_field = "slot.crc",
    .version_field = "slot.version",
    .node_field = "slot.node",
    .reserved_field = "slot.reserved",
    .offset_field = "slot.offset",
    .volume_field = "slot.volume",
    .count_field = "slot.record_count",
    .bytes_field = "slot.record_bytes",
    .padding_field = "slot.padding",
};

bool good_block_size(std::size_t bytes) {
    return bytes == limits::block_bytes_min || bytes == limits::block_bytes_max;
}

// nullptr, or the name of the first field that is out of range.
const char* bad_field(const layout::SlotHeader& raw) {
    if (raw.state > static_cast<unsigned>(SlotState::fenced)) return "slot.state";
    if (raw.previous_end > static_cast<unsigned>(PreviousEnd::gone)) return "slot.previous_end";
    if ((raw.flags.get() & ~unsigned{layout::slot_flags_known}) != 0) return "slot.flags";
    const bool none = raw.generation.get() == 0 && raw.nonce.get() == 0;
    if (none && raw.state != static_cast<unsigned>(SlotState::free)) return "slot.generation";
    if (raw.tail.get() > raw.head_page.get()) return "slot.tail";
    const std::uint64_t first = raw.inline_first.get();
    if (first > raw.last.get() && first - raw.last.get() > 1) return "slot.inline_first";
    if (raw.head.reserved.get() != 0 || !all_zero(raw.reserved)) return kind.reserved_field;
    return nullptr;
}

SlotHeader from_raw(const layout::SlotHeader& raw) {
    SlotHeader header;
    header.node = raw.head.node.get();
    header.state = static_cast<SlotState>(raw.state);
    header.incarnation = {raw.generation.get(), raw.nonce.get()};
    header.sequence = raw.sequence.get();
    header.host.bytes = raw.host;
    header.boot = raw.boot.get();
    header.previous = {raw.previous_generation.get(), raw.previous_nonce.get()};
    header.previous_end = static_cast<PreviousEnd>(raw.previous_end);
    header.previous_sequence = raw.previous_sequence.get();
    header.stream.epoch = raw.epoch.get();
    header.stream.complete = (raw.flags.get() & layout::slot_complete) != 0;
    header.unsettled = (raw.flags.get() & layout::slot_unsettled) != 0;
    header.stream.tail = raw.tail.get();
    header.stream.head = raw.head_page.get();
    header.stream.inline_first = raw.inline_first.get();
    header.stream.last = raw.last.get();
    header.write_us = raw.write_us.get();
    header.read_us = raw.read_us.get();
    header.clock = raw.clock.get();
    return header;
}

layout::SlotHeader to_raw(const SlotHeader& header) {
    layout::SlotHeader raw{};
    raw.state = static_cast<std::uint8_t>(header.state);
    raw.generation.set(header.incarnation.generation);
    raw.nonce.set(header.incarnation.nonce);
    raw.sequence.set(header.sequence);
    raw.host = header.host.bytes;
    raw.boot.set(header.boot);
    raw.previous_generation.set(header.previous.generation);
    raw.previous_nonce.set(header.previous.nonce);
    raw.previous_sequence.set(header.previous_sequence);
    raw.previous_end = static_cast<std::uint8_t>(header.previous_end);
    raw.epoch.set(header.stream.epoch);
    raw.flags.set(static_cast<std::uint16_t>((header.stream.complete ? layout::slot_complete : 0U) |
                                             (header.unsettled ? layout::slot_unsettled : 0U)));
    raw.tail.set(header.stream.tail);
    raw.head_page.set(header.stream.head);
    raw.inline_first.set(header.stream.inline_first);
    raw.last.set(header.stream.last);
    raw.write_us.set(header.write_us);
    raw.read_us.set(header.read_us);
    raw.clock.set(header.clock);
    return raw;
}
}  // namespace

const char* text(SlotState state) noexcept {
    switch (state) {
        case SlotState::free: return "free";
        case SlotState::claiming: return "claiming";
        case SlotState::live: return "live";
        case SlotState::leaving: return "leaving";
        case SlotState::left: return "left";
        case SlotState::fenced: return "fenced";
    }
    return "unknown";
}

void encode_slot(const SlotHeader& header, std::uint32_t record_count, std::span<const std::byte> records,
                 const Uuid& volume, std::uint64_t offset, std::span<std::byte> out) {
    SDLM_ASSERT(good_block_size(out.size()));
    SDLM_ASSERT(records.size() <= inline_capacity(out.size()));
    auto raw = to_raw(header);
    raw.head = make_head(kind, header.node, volume, offset);
    raw.record_count.set(record_count);
    raw.record_bytes.set(static_cast<std::uint32_t>(records.size()));
    SDLM_ASSERT(bad_field(raw) == nullptr);
    // memmove: the caller may have encoded the records in their final place already.
    if (!records.empty()) std::memmove(out.data() + sizeof raw, records.data(), records.size());
    store(raw, out);
    const auto padding = out.subspan(sizeof raw + records.size());
    if (!padding.empty()) std::memset(padding.data(), 0, padding.size());
    seal(out);
}

Result<SlotHeader> decode_slot_header(std::span<const std::byte> block, const Uuid& volume, NodeIndex node,
                                      std::uint64_t offset) {
    if (!good_block_size(block.size()))
        return Error{.code = Errc::short_transfer, .offset = offset, .field = "slot"};
    SDLM_TRY(head, open_block(block, kind, volume, offset));
    if (head.node.get() != node) return Error{.code = Errc::wrong_node, .offset = offset, .field = kind.node_field};
    const auto raw = load<layout::SlotHeader>(block);
    if (const char* field = bad_field(raw)) return Error{.code = Errc::bad_field, .offset = offset, .field = field};
    const auto list = check_list(block, sizeof raw, raw.record_count.get(), raw.record_bytes.get(), kind, offset);
    if (!list) return list.error();
    return from_raw(raw);
}

Result<Uuid> slot_volume(std::span<const std::byte> block, std::uint64_t offset) {
    if (!good_block_size(block.size()))
        return Error{.code = Errc::short_transfer, .offset = offset, .field = "slot"};
    SDLM_TRY(head, open_block(block, kind, offset));
    return Uuid{head.volume};
}

Result<void> decode_slot_records(std::span<const std::byte> block, std::uint64_t offset, std::vector<Record>& out) {
    if (!good_block_size(block.size()))
        return Error{.code = Errc::short_transfer, .offset = offset, .field = "slot"};
    const auto raw = load<layout::SlotHeader>(block);
    const auto list = check_list(block, sizeof raw, raw.record_count.get(), raw.record_bytes.get(), kind, offset);
    if (!list) return list.error();
    return decode_list(block, sizeof raw, raw.record_count.get(), raw.record_bytes.get(), kind, offset, out);
}

}  // namespace sdlm::disk
