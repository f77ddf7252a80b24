// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/dump_json.hpp"

#include <span>

#include "locks/core/mode.hpp"
#include "tools/common/escape.hpp"

namespace sdlm::tools {

using nlohmann::json;

namespace {

json to_json(const Incarnation& incarnation) {
    return {{"generation", incarnation.generation}, {"nonce", incarnation.nonce}};
}

json to_json(const disk::ResourceKey& key, const disk::LockRecord& lock) {
    json out = {{"lockspace", escaped(key.lockspace)},
                {"name", escaped(key.name)},
                {"held", locks::text(lock.held)},
                {"phase", phase_text(lock.phase)},
                {"ticket", lock.ticket},
                {"answered", lock.answered},
                {"owner_tag", lock.owner_tag},
                {"flags", flag_names(lock)},
                {"lvb",
                 {{"version", lock.lvb.version},
                  {"valid", lock.lvb.valid},
                  {"hex", hex(std::span(lock.lvb.bytes).first(lock.lvb.length))}}}};
    if (lock.phase != disk::Phase::none) out["want"] = locks::text(lock.want);
    return out;
}

json to_json(NodeIndex node, const disk::EvictRecord& evict) {
    return {{"node", node},
            {"incarnation", to_json(evict.incarnation)},
            {"last_sequence", evict.last_sequence},
            {"settled", evict.settled}};
}

json to_json(NodeIndex node, const disk::FenceRecord& fence) {
    return {{"node", node}, {"incarnation", to_json(fence.incarnation)}};
}

json to_json(const disk::NodeCard& card) {
    return {{"node_name", escaped(card.node_name)},
            {"host_name", escaped(card.host_name)},
            {"host", to_string(card.host)},
            {"version", escaped(card.version)},
            {"pid", card.pid},
            {"started_unix", card.started_unix},
            {"incarnation", to_json(card.incarnation)}};
}

json to_json(const disk::SlotHeader& header) {
    const disk::StreamPosition& stream = header.stream;
    return {{"state", disk::text(header.state)},
            {"incarnation", to_json(header.incarnation)},
            {"sequence", header.sequence},
            {"host", to_string(header.host)},
            {"boot", header.boot},
            {"previous",
             {{"incarnation", to_json(header.previous)},
              {"end", end_text(header.previous_end)},
              {"last_sequence", header.previous_sequence}}},
            {"stream",
             {{"epoch", stream.epoch},
              {"complete", stream.complete},
              {"tail", stream.tail},
              {"head", stream.head},
              {"inline_first", stream.inline_first},
              {"last", stream.last}}},
            {"clock", header.clock},
            {"write_us", header.write_us},
            {"read_us", header.read_us}};
}

struct RecordJson {
    json operator()(const disk::LockEntry& entry) const {
        json out = to_json(entry.key, entry.lock);
        out["kind"] = "lock";
        return out;
    }
    json operator()(const disk::EvictEntry& entry) const {
        json out = to_json(entry.node, entry.evict);
        out["kind"] = "evict";
        out["retracted"] = entry.evict.retracted;
        return out;
    }
    json operator()(const disk::FenceEntry& entry) const {
        json out = to_json(entry.node, entry.fence);
        out["kind"] = "fence";
        out["retracted"] = entry.fence.retracted;
        return out;
    }
    json operator()(const disk::MemberEntry& entry) const {
        return {{"kind", "member"}, {"lockspace", escaped(entry.lockspace)}, {"left", entry.member.left}};
    }
};

json escaped_texts(const auto& texts) {
    json out = json::array();
    for (const auto& text : texts) out.push_back(escaped(text));
    return out;
}

}  // namespace

const char* phase_text(disk::Phase phase) {
    switch (phase) {
        case disk::Phase::none: return "none";
        case disk::Phase::trying: return "trying";
        case disk::Phase::waiting: return "waiting";
    }
    return "?";
}

const char* end_text(disk::PreviousEnd end) {
    switch (end) {
        case disk::PreviousEnd::none: return "none";
        case disk::PreviousEnd::left: return "left";
        case disk::PreviousEnd::fenced: return "fenced";
        case disk::PreviousEnd::evicted: return "evicted";
        case disk::PreviousEnd::gone: return "gone";
    }
    return "?";
}

std::vector<std::string> flag_names(const disk::LockRecord& lock) {
    std::vector<std::string> out;
    const auto add = [&out](bool on, const char* name) {
        if (on) out.emplace_back(name);
    };
    add(lock.noqueue, "trylock");
    add(lock.noqueue_bast, "trylock-bast");
    add(lock.convert, "convert");
    add(lock.interest, "interest");
    add(lock.orphan_lvb, "orphan-lvb");
    return out;
}

json volume_json(const disk::BlockDevice& device, const VolumeDump& volume) {
    const disk::Superblock& superblock = volume.superblock;
    const disk::Geometry& geometry = superblock.geometry;
    return {{"device", escaped(device.path())},
            {"device_bytes", device.bytes()},
            {"uuid", to_string(superblock.uuid)},
            {"label", escaped(superblock.label)},
            {"from_backup", volume.from_backup},
            {"warning", escaped(volume.warning)},
            {"block_bytes", geometry.block_bytes},
            {"slot_count", geometry.slot_count},
            {"area_bytes", geometry.area_bytes},
            {"volume_bytes", geometry.volume_bytes},
            {"heartbeat_ms", superblock.heartbeat_ms},
            {"lease_ms", superblock.lease_ms},
            {"io_timeout_ms", superblock.io_timeout_ms},
            {"created_unix", superblock.created_unix}};
}

json slot_json(const SlotDump& slot) {
    json out = {{"node", slot.node}, {"offset", slot.offset}, {"problems", escaped_texts(slot.problems)}};
    if (slot.header) out.update(to_json(*slot.header));
    else out["state"] = "damaged";
    if (slot.card) out["card"] = to_json(*slot.card);
    out["lockspaces"] = escaped_texts(slot.lockspaces);
    out["locks"] = out["evictions"] = out["fences"] = json::array();
    for (const auto& [key, lock] : slot.locks) out["locks"].push_back(to_json(key, lock));
    for (const auto& [node, evict] : slot.evictions) out["evictions"].push_back(to_json(node, evict));
    for (const auto& [node, fence] : slot.fences) out["fences"].push_back(to_json(node, fence));
    return out;
}

json page_json(const PageDump& page) {
    json out = {{"place", page.place}, {"offset", page.offset}};
    if (!page.header) {
        out["problem"] = page.problem;
        return out;
    }
    out["number"] = page.header->number;
    out["node"] = page.header->node;
    out["incarnation"] = to_json(page.header->incarnation);
    out["current"] = page.current;
    out["records"] = json::array();
    for (const disk::Record& record : page.records) out["records"].push_back(std::visit(RecordJson{}, record));
    return out;
}

}  // namespace sdlm::tools
