// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/control/status_json.hpp"

#include "disk/base/ids.hpp"
#include "locks/core/mode.hpp"
#include "tools/common/escape.hpp"

namespace sdlm::tools {

using nlohmann::json;

namespace {

std::int64_t us(Duration d) { return d.ns / 1000; }

json to_json(const disk::Lvb& lvb) {
    return {{"version", lvb.version},
            {"valid", lvb.valid},
            {"hex", hex(std::span(lvb.bytes).first(std::min<std::size_t>(lvb.length, lvb.bytes.size())))}};
}

json to_json(const Incarnation& incarnation) {
    return {{"generation", incarnation.generation}, {"nonce", incarnation.nonce}};
}

}  // namespace

const char* text(disk::Phase phase) noexcept {
    switch (phase) {
        case disk::Phase::none: return "none";
        case disk::Phase::trying: return "trying";
        case disk::Phase::waiting: return "waiting";
    }
    return "?";
}

json to_json(const node::Counters& c) {
    return {{"slot_writes", c.slot_writes},     {"page_writes", c.page_writes},
            {"slot_reads", c.slot_reads},       {"page_reads", c.page_reads},
            {"write_errors", c.write_errors},   {"read_errors", c.read_errors},
            {"bad_blocks", c.bad_blocks},       {"defended", c.defended},
            {"foreign_blocks", c.foreign_blocks}, {"misplaced_blocks", c.misplaced_blocks},
            {"bad_pages", c.bad_pages},         {"slow_writes", c.slow_writes},
            {"zombie_images", c.zombie_images}, {"grants", c.grants},
            {"cached_grants", c.cached_grants}, {"refusals", c.refusals},
            {"releases", c.releases},           {"blocked_notices", c.blocked_notices},
            {"evictions", c.evictions}};
}

json to_json(const node::PeerStatus& peer) {
    const disk::SlotHeader& slot = peer.header;
    return {{"node", peer.node},
            {"verdict", node::text(peer.verdict)},
            {"slot_state", disk::text(slot.state)},
            {"incarnation", to_json(slot.incarnation)},
            {"sequence", slot.sequence},
            {"host", to_string(slot.host)},
            {"age_us", us(peer.age)},
            {"records", peer.records},
            {"write_us", slot.write_us},
            {"read_us", slot.read_us},
            {"problem", escaped(peer.problem)}};
}

json to_json(const node::LockRow& row) {
    const disk::LockRecord& record = row.record;
    json out = {{"node", row.node},
                {"lockspace", escaped(row.key.lockspace)},
                {"name", escaped(row.key.name)},
                {"held", locks::text(record.held)},
                {"phase", text(record.phase)},
                {"ticket", record.ticket},
                {"answered", record.answered},
                {"owner_tag", record.owner_tag},
                {"noqueue", record.noqueue},
                {"convert", record.convert},
                {"interest", record.interest},
                {"orphan_lvb", record.orphan_lvb},
                {"lvb", to_json(record.lvb)},
                {"own", row.own}};
    if (record.phase != disk::Phase::none) out["want"] = locks::text(record.want);
    if (row.own) {
        out["used"] = locks::text(row.used);
        out["blocked"] = row.blocked;
    }
    return out;
}

json to_json(const heartbeat::Timing& t) {
    return {{"heartbeat_ms", t.heartbeat.ms()}, {"lease_ms", t.lease.ms()},
            {"io_timeout_ms", t.io_timeout.ms()}, {"stop_ms", t.stop().ms()},
            {"told_ms", t.told().ms()},         {"watchdog_max_ms", t.watchdog_max().ms()},
            {"quiet_ms", t.quiet().ms()},         {"early_bound_ms", t.early_bound().ms()},
            {"dead_ms", t.dead().ms()},         {"failover_bound_ms", t.failover_bound().ms()},
            {"answer_ms", t.answer().ms()},     {"adopt_ms", t.adopt().ms()}};
}

json to_json(const node::NodeStatus& s) {
    return {{"state", node::text(s.state)},
            {"node", s.node == no_node ? json(nullptr) : json(s.node)},
            {"incarnation", to_json(s.incarnation)},
            {"lease_left_us", us(s.lease_left)},
            {"write_latency_us", us(s.write_latency)},
            {"read_latency_us", us(s.read_latency)},
            {"ring_pages", s.ring_pages},
            {"ring_used", s.ring_used},
            {"counters", to_json(s.counters)}};
}

json to_json(const DaemonStatus& s) {
    json mounts = json::array();
    for (const std::string& mount : s.mounts) mounts.push_back(escaped(mount));
    const disk::Geometry& g = s.superblock.geometry;
    json out = to_json(s.node);
    out["name"] = escaped(s.node_name);
    out["device"] = escaped(s.device);
    out["run_dir"] = escaped(s.run_dir);
    out["pid"] = s.pid;
    out["version"] = escaped(s.version);
    out["mounts"] = std::move(mounts);
    out["libdlm"] = {{"lockspaces", s.lockspaces}, {"handles", s.handles}, {"locks", s.client_locks}};
    out["client_policy"] = s.client_policy;
    out["guardian_pid"] = s.guardian_pid;
    out["watchdog_ms"] = s.watchdog_ms;
    out["problem"] = escaped(s.problem);
    out["timing"] = to_json(s.timing);
    out["volume"] = {{"uuid", to_string(s.superblock.uuid)}, {"label", escaped(s.superblock.label)},
                     {"block_bytes", g.block_bytes},         {"slot_count", g.slot_count},
                     {"area_bytes", g.area_bytes},           {"volume_bytes", g.volume_bytes},
                     {"created_unix", s.superblock.created_unix}};
    return out;
}

}  // namespace sdlm::tools
