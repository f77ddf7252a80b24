// SPDX-License-Identifier: LGPL-2.1-or-later
#include "memory_cluster.hpp"

#include <algorithm>
#include <cstring>

#include "disk/base/assert.hpp"

namespace sdlm::node {

bool MemoryCluster::Client::has(char kind) const {
    return std::any_of(events.begin(), events.end(), [&](const Event& e) { return e.kind == kind; });
}
const MemoryCluster::Client::Event& MemoryCluster::Client::last(char kind) const {
    const auto found = std::find_if(events.rbegin(), events.rend(), [&](const Event& e) { return e.kind == kind; });
    SDLM_ASSERT(found != events.rend());
    return *found;
}

MemoryCluster::MemoryCluster(std::uint32_t block_bytes, std::uint32_t slots) {
    superblock.uuid.bytes[0] = 7;
    superblock.geometry = {.block_bytes = block_bytes, .slot_count = slots, .area_bytes = 64 * 1024};
    superblock.geometry.volume_bytes = disk::bytes_needed(block_bytes, slots, superblock.geometry.area_bytes);
    bytes.resize(superblock.geometry.volume_bytes);
    disk::encode(superblock, disk::superblock_offset, std::span(bytes).first(disk::superblock_bytes));
    for (NodeIndex node = 0; node < slots; ++node) {
        disk::SlotHeader header;
        header.node = node;
        const std::uint64_t offset = superblock.geometry.slot_offset(node);
        disk::encode_slot(header, 0, {}, superblock.uuid, offset, std::span(bytes).subspan(offset, block_bytes));
    }
}

NodeCore& MemoryCluster::start(NodeIndex node) {
    Node& n = nodes[node];
    Identity id;
    id.requested = node;
    id.host.bytes[0] = static_cast<std::uint8_t>(node + 1);
    id.boot = static_cast<std::uint64_t>(n.life) + 1;
    id.nonce_seed = node * 1000U + static_cast<unsigned>(n.life);
    id.hold_evictions = hold_evictions;
    ++n.life;
    n.core = std::make_unique<NodeCore>(superblock, timing, id);
    n.client.events.clear();
    n.events.clear();
    n.running = true;
    n.core->start(now_);
    pump(node);
    return *n.core;
}

void MemoryCluster::join_all(std::initializer_list<NodeIndex> list, const std::string& lockspace) {
    for (NodeIndex node : list) start(node);
    const bool done =
        run_until([&] { return std::all_of(list.begin(), list.end(), [&](NodeIndex n) { return live(n); }); });
    SDLM_ASSERT(done);
    for (NodeIndex node : list) SDLM_ASSERT(core(node).join(lockspace, client(node)).has_value());
}

void MemoryCluster::land_held() {
    for (const Write& write : held) std::memcpy(bytes.data() + write.offset, write.bytes.data(), write.bytes.size());
    held.clear();
}

void MemoryCluster::pump(NodeIndex node) {
    Node& n = nodes[node];
    Output out;
    n.core->pump(now_, out);
    for (Read& read : out.reads) pending_.push_back({now_ + latency, order_++, node, n.life, read, {}});
    for (Write& write : out.writes) {
        if (n.hold_writes) {
            held.push_back(std::move(write));
            continue;
        }
        Duration time = latency;
        const auto header = disk::decode_slot_header(std::span(write.bytes).first(write.bytes.size()), superblock.uuid,
                                                     node, write.offset);
        if (n.slow_live.ns != 0 && header && header->state == disk::SlotState::live) {
            time = std::exchange(n.slow_live, Duration{});
            n.fail_reads = true;
        }
        pending_.push_back({now_ + time, order_++, node, n.life, {}, std::move(write)});
    }
    for (NodeEvent& event : out.events) n.events.push_back(std::move(event));
    n.wake = out.wake;
}

void MemoryCluster::pump_all() {
    for (auto& [node, n] : nodes)
        if (n.running && !n.frozen) pump(node);
}

void MemoryCluster::step(Instant limit) {
    pump_all();
    Instant next = limit;
    for (const Io& io : pending_) next = earlier(next, io.at);
    for (const auto& [node, n] : nodes)
        if (n.running && !n.frozen) next = earlier(next, n.wake);
    now_ = next < now_ ? now_ : next;
    std::vector<Io> due;
    std::erase_if(pending_, [&](Io& io) {
        if (io.at > now_) return false;
        if (nodes[io.node].frozen) return false;
        due.push_back(std::move(io));
        return true;
    });
    std::sort(due.begin(), due.end(), [](const Io& a, const Io& b) { return a.order < b.order; });
    for (Io& io : due) {
        Node& n = nodes[io.node];
        const bool listens = n.running && n.life == io.life;
        if (io.write) {
            std::memcpy(bytes.data() + io.write->offset, io.write->bytes.data(), io.write->bytes.size());
            if (listens) n.core->write_done(now_, io.write->id, {});
        } else if (listens && n.fail_reads) {
            n.core->read_done(now_, io.read->id, Error{.code = Errc::io});
        } else if (listens) {
            n.core->read_done(now_, io.read->id,
                              std::span<const std::byte>(bytes).subspan(io.read->offset, io.read->bytes));
        }
    }
}

void MemoryCluster::run(Duration time) {
    const Instant end = now_ + time;
    while (now_ < end) step(end);
}

bool MemoryCluster::run_until(const std::function<bool()>& done, Duration limit) {
    const Instant end = now_ + limit;
    while (now_ < end) {
        pump_all();
        if (done()) return true;
        step(end);
    }
    pump_all();
    return done();
}

}  // namespace sdlm::node
