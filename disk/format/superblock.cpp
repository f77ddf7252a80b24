// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/format/superblock.hpp"

#include "disk/format/block.hpp"

namespace sdlm::disk {

namespace {
constexpr BlockKind kind{
    .magic = layout::superblock_magic,
    .magic_field = "superblock.magic",
    .crc_field = "superblock.crc",
    .version_field = "superblock.version",
    .node_field = "superblock.node",
    .reserved_field = "superblock.reserved",
    .offset_field = "superblock.offset",
    .volume_field = "superblock.uuid",
    .count_field = nullptr,
    .bytes_field = nullptr,
    .padding_field = nullptr,
};

const char* bad_timing(const Superblock& superblock) {
    if (superblock.lease_ms < limits::lease_ms_min || superblock.lease_ms > limits::lease_ms_max) return "lease_ms";
    if (superblock.heartbeat_ms < limits::heartbeat_ms_min || superblock.heartbeat_ms > superblock.lease_ms)
        return "heartbeat_ms";
    if (superblock.io_timeout_ms < limits::io_timeout_ms_min || superblock.io_timeout_ms > superblock.lease_ms)
        return "io_timeout_ms";
    return nullptr;
}
}  // namespace

void encode(const Superblock& superblock, std::uint64_t offset, std::span<std::byte> out) {
    SDLM_ASSERT(out.size() == superblock_bytes);
    layout::Superblock raw{};
    raw.head = make_head(kind, no_node, superblock.uuid, offset);
    raw.compat.set(superblock.compat);
    raw.ro_compat.set(superblock.ro_compat);
    raw.incompat.set(superblock.incompat);
    raw.block_bytes.set(superblock.geometry.block_bytes);
    raw.slot_count.set(superblock.geometry.slot_count);
    raw.area_bytes.set(superblock.geometry.area_bytes);
    raw.volume_bytes.set(superblock.geometry.volume_bytes);
    raw.heartbeat_ms.set(superblock.heartbeat_ms);
    raw.lease_ms.set(superblock.lease_ms);
    raw.io_timeout_ms.set(superblock.io_timeout_ms);
    raw.created_unix.set(superblock.created_unix);
    put_text(superblock.label, raw.label);
    store(raw, out);
    seal(out);
}

Result<Superblock> decode_superblock(std::span<const std::byte> bytes, std::uint64_t offset) {
    const auto bad = [&](const char* field) {
        return Error{.code = Errc::bad_field, .offset = offset, .field = field};
    };
    if (bytes.size() < superblock_bytes)
        return Error{.code = Errc::short_transfer, .offset = offset, .field = "superblock"};
    const auto block = bytes.first(superblock_bytes);
    SDLM_TRY(head, open_block(block, kind, offset));
    const auto raw = load<layout::Superblock>(block);
    if ((raw.incompat.get() & ~known_incompat) != 0)
        return Error{.code = Errc::bad_version, .offset = offset, .field = "superblock.incompat"};
    if (head.offset.get() != offset)
        return Error{.code = Errc::wrong_block, .offset = offset, .field = kind.offset_field};
    if (head.node.get() != no_node) return bad(kind.node_field);

    Superblock superblock;
    superblock.uuid.bytes = head.volume;
    if (superblock.uuid.none()) return bad(kind.volume_field);
    superblock.compat = raw.compat.get();
    superblock.ro_compat = raw.ro_compat.get();
    superblock.incompat = raw.incompat.get();
    superblock.geometry = {raw.block_bytes.get(), raw.slot_count.get(), raw.area_bytes.get(), raw.volume_bytes.get()};
    if (const auto checked = check(superblock.geometry); !checked) return bad(checked.error().field);
    superblock.heartbeat_ms = raw.heartbeat_ms.get();
    superblock.lease_ms = raw.lease_ms.get();
    superblock.io_timeout_ms = raw.io_timeout_ms.get();
    if (const char* field = bad_timing(superblock)) return bad(field);
    superblock.created_unix = raw.created_unix.get();
    if (!get_text(raw.label, superblock.label)) return bad("superblock.label");
    if (head.reserved.get() != 0 || !all_zero(raw.reserved)) return bad(kind.reserved_field);
    return superblock;
}

}  // namespace sdlm::disk
