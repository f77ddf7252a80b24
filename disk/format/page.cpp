// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/format/page.hpp"

#include "disk/format/block.hpp"

namespace sdlm::disk {

namespace {
constexpr BlockKind page_kind{
    .magic = layout::page_magic,
    .magic_field = "page.magic",
    .crc_field = "page.crc",
    .version_field = "page.version",
    .node_field = "page.node",
    .reserved_field = "page.reserved",
    .offset_field = "page.offset",
    .volume_field = "page.volume",
    .count_field = "page.record_count",
    .bytes_field = "page.record_bytes",
    .padding_field = "page.padding",
};

constexpr BlockKind card_kind{
    .magic = layout::card_magic,
    .magic_field = "card.magic",
    .crc_field = "card.crc",
    .version_field = "card.version",
    .node_field = "card.node",
    .reserved_field = "card.reserved",
    .offset_field = "card.offset",
    .volume_field = "card.volume",
    .count_field = nullptr,
    .bytes_field = nullptr,
    .padding_field = nullptr,
};

Result<layout::PageHeader> open_page(std::span<const std::byte> page, const Uuid& volume, std::uint64_t offset) {
    if (page.size() != limits::page_bytes)
        return Error{.code = Errc::short_transfer, .offset = offset, .field = "page"};
    if (const auto head = open_block(page, page_kind, volume, offset); !head) return head.error();
    return load<layout::PageHeader>(page);
}

Result<void> read_page(std::span<const std::byte> page, const layout::PageHeader& raw, std::uint64_t offset,
                       std::vector<Record>& out) {
    if (raw.head.reserved.get() != 0 || !all_zero(raw.reserved))
        return Error{.code = Errc::bad_field, .offset = offset, .field = page_kind.reserved_field};
    const std::uint32_t count = raw.record_count.get();
    const std::uint32_t bytes = raw.record_bytes.get();
    if (const auto list = check_list(page, sizeof raw, count, bytes, page_kind, offset); !list) return list.error();
    return decode_list(page, sizeof raw, count, bytes, page_kind, offset, out);
}

PageHeader from_raw(const layout::PageHeader& raw) {
    return {raw.head.node.get(), {raw.generation.get(), raw.nonce.get()}, raw.number.get()};
}
}  // namespace

void encode_page(const PageHeader& header, std::uint32_t record_count, std::span<const std::byte> records,
                 const Uuid& volume, std::uint64_t offset, std::span<std::byte> out) {
    SDLM_ASSERT(out.size() == limits::page_bytes);
    SDLM_ASSERT(records.size() <= page_capacity);
    layout::PageHeader raw{};
    raw.head = make_head(page_kind, header.node, volume, offset);
    raw.generation.set(header.incarnation.generation);
    raw.nonce.set(header.incarnation.nonce);
    raw.number.set(header.number);
    raw.record_count.set(record_count);
    raw.record_bytes.set(static_cast<std::uint32_t>(records.size()));
    // memmove: the caller may have encoded the records in their final place already.
    if (!records.empty()) std::memmove(out.data() + sizeof raw, records.data(), records.size());
    store(raw, out);
    const auto padding = out.subspan(sizeof raw + records.size());
    if (!padding.empty()) std::memset(padding.data(), 0, padding.size());
    seal(out);
}

Result<void> decode_page(std::span<const std::byte> page, const Uuid& volume, const PageHeader& expected,
                         std::uint64_t offset, std::vector<Record>& out) {
    SDLM_TRY(raw, open_page(page, volume, offset));
    const PageHeader found = from_raw(raw);
    const auto stale = [offset](const char* field) {
        return Error{.code = Errc::stale, .offset = offset, .field = field};
    };
    if (found.node != expected.node) return stale(page_kind.node_field);
    if (found.incarnation != expected.incarnation) return stale("page.generation");
    if (found.number != expected.number) return stale("page.number");
    return read_page(page, raw, offset, out);
}

Result<PageHeader> decode_any_page(std::span<const std::byte> page, const Uuid& volume, std::uint64_t offset,
                                   std::vector<Record>& out) {
    SDLM_TRY(raw, open_page(page, volume, offset));
    if (const auto read = read_page(page, raw, offset, out); !read) return read.error();
    return from_raw(raw);
}

void encode_card(const NodeCard& card, const Uuid& volume, std::uint64_t offset, std::span<std::byte> out) {
    SDLM_ASSERT(out.size() == limits::page_bytes);
    layout::NodeCard raw{};
    raw.head = make_head(card_kind, card.node, volume, offset);
    raw.generation.set(card.incarnation.generation);
    raw.nonce.set(card.incarnation.nonce);
    raw.host = card.host.bytes;
    raw.started_unix.set(card.started_unix);
    put_text(card.node_name, raw.node_name);
    put_text(card.host_name, raw.host_name);
    put_text(card.version, raw.daemon_version);
    raw.pid.set(card.pid);
    store(raw, out);
    seal(out);
}

Result<NodeCard> decode_card(std::span<const std::byte> page, const Uuid& volume, NodeIndex node,
                             std::uint64_t offset) {
    const auto bad = [offset](const char* field) {
        return Error{.code = Errc::bad_field, .offset = offset, .field = field};
    };
    if (page.size() != limits::page_bytes)
        return Error{.code = Errc::short_transfer, .offset = offset, .field = "card"};
    SDLM_TRY(head, open_block(page, card_kind, volume, offset));
    if (head.node.get() != node)
        return Error{.code = Errc::wrong_node, .offset = offset, .field = card_kind.node_field};
    const auto raw = load<layout::NodeCard>(page);
    NodeCard card;
    card.node = node;
    card.incarnation = {raw.generation.get(), raw.nonce.get()};
    card.host.bytes = raw.host;
    card.started_unix = raw.started_unix.get();
    card.pid = raw.pid.get();
    if (!get_text(raw.node_name, card.node_name)) return bad("card.node_name");
    if (!get_text(raw.host_name, card.host_name)) return bad("card.host_name");
    if (!get_text(raw.daemon_version, card.version)) return bad("card.daemon_version");
    if (head.reserved.get() != 0 || !all_zero(raw.reserved)) return bad(card_kind.reserved_field);
    return card;
}

}  // namespace sdlm::disk
