// SPDX-License-Identifier: LGPL-2.1-or-later
// Reads a volume for dump(): each part on its own, so that a damaged one hides no other.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "disk/format/page.hpp"
#include "disk/format/slot.hpp"
#include "disk/format/superblock.hpp"
#include "disk/io/block_device.hpp"

namespace sdlm::tools {

struct VolumeDump {
    disk::Superblock superblock;
    bool from_backup = false;
    std::string warning;                                  // a sentence when the volume is not whole
};

// nullopt: no superblock can be used; `message` says why and what to do.
std::optional<VolumeDump> read_volume(const disk::BlockDevice& device, std::string& message);

struct SlotDump {
    NodeIndex node = no_node;
    std::uint64_t offset = 0;
    std::optional<disk::SlotHeader> header;               // nullopt: the slot is damaged
    std::optional<disk::NodeCard> card;
    std::map<disk::ResourceKey, disk::LockRecord> locks;
    std::map<NodeIndex, disk::EvictRecord> evictions;
    std::map<NodeIndex, disk::FenceRecord> fences;
    std::set<std::string> lockspaces;                     // whose member the node is
    std::vector<std::string> problems;                    // sentences naming block, offset and field

    bool never_used() const;                              // free, and nothing to tell about it
};

SlotDump read_slot(const disk::BlockDevice& device, const disk::Superblock& superblock, NodeIndex node);

struct PageDump {
    std::uint64_t place = 0;                              // in the ring, from 0
    std::uint64_t offset = 0;
    std::optional<disk::PageHeader> header;
    bool current = false;                                 // part of the stream that the slot points to
    std::vector<disk::Record> records;
    std::string problem;                                  // empty when `header` is there
};

// Calls `visit` for each page of the node's ring that was ever written in this volume.
void read_pages(const disk::BlockDevice& device, const disk::Superblock& superblock, const SlotDump& slot,
                const std::function<void(const PageDump&)>& visit);

// "slot 3 (offset 0x10600)"
std::string place_text(const char* what, std::uint64_t number, std::uint64_t offset);

}  // namespace sdlm::tools
