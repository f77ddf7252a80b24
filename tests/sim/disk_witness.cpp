// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/sim/disk_witness.hpp"

#include <vector>

#include "disk/format/page.hpp"
#include "disk/format/slot.hpp"
#include "locks/core/mode.hpp"
#include "tests/sim/violation.hpp"

namespace sdlm::sim {

namespace {

const disk::LockRecord* newest(const std::vector<disk::Record>& records, const disk::ResourceKey& key) {
    const disk::LockRecord* found = nullptr;
    for (const auto& record : records)
        if (const auto* entry = std::get_if<disk::LockEntry>(&record); entry != nullptr && entry->key == key)
            found = &entry->lock;
    return found;
}

}  // namespace

std::optional<disk::LockRecord> DiskWitness::published(const Life& life, const disk::ResourceKey& key) const {
    const auto offset = geometry_.slot_offset(life.slot);
    const auto block = disk_.view(offset, geometry_.block_bytes);
    const auto header = disk::decode_slot_header(block, volume_, life.slot, offset);
    if (!header || header->incarnation != life.incarnation) return std::nullopt;
    std::vector<disk::Record> records;
    if (!disk::decode_slot_records(block, offset, records)) return std::nullopt;
    if (const auto* found = newest(records, key)) return *found;
    const auto& stream = header->stream;
    if (stream.complete) return disk::LockRecord{};
    for (std::uint64_t number = stream.head; number-- > stream.tail;) {
        const auto at = geometry_.page_offset(life.slot, number);
        records.clear();
        const disk::PageHeader expected{.node = life.slot, .incarnation = life.incarnation, .number = number};
        if (!disk::decode_page(disk_.view(at, limits::page_bytes), volume_, expected, at, records)) return std::nullopt;
        if (const auto* found = newest(records, key)) return *found;
    }
    return disk::LockRecord{};
}

void DiskWitness::check_grant(const Life& life, const disk::ResourceKey& key, disk::Mode mode) const {
    if (life.slot == no_node || mode == disk::Mode::NL) return;
    const auto record = published(life, key);
    if (!record) return;
    disk::Mode durable = record->held;
    if (record->phase == disk::Phase::trying) durable = locks::join(durable, record->want);
    if (!locks::covers(durable, mode))
        throw Violation("I5: node " + std::to_string(life.slot) + " was granted " + locks::text(mode) + " on " +
                        key.lockspace + "/" + key.name + " while its durable record covers only " +
                        locks::text(durable));
}

}  // namespace sdlm::sim
