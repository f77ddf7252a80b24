// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/sim/life.hpp"

#include <algorithm>

#include "tests/sim/violation.hpp"

namespace sdlm::sim {

namespace {

std::string name(const Life& life) {
    return "host " + std::to_string(life.host) + " life " + std::to_string(life.id) + " slot " +
           (life.slot == no_node ? "-" : std::to_string(life.slot));
}

}  // namespace

LifeId Lives::begin(std::uint16_t host, std::uint64_t boot, const HostClock& clock, Time now) {
    for (auto& life : lives_)
        if (life.host == host && life.end == LifeEnd::crashed) clients_gone(life.id, now);
    Life life;
    life.id = static_cast<LifeId>(lives_.size() + 1);
    life.host = host;
    life.boot = boot;
    life.clock = clock;
    lives_.push_back(life);
    return life.id;
}

void Lives::check_write(LifeId id, std::uint64_t offset, std::span<const std::byte> bytes, const Uuid& volume,
                        Time now) {
    Life& life = get(id);
    const std::string where =
        name(life) + ": write of " + std::to_string(bytes.size()) + " bytes at " + std::to_string(offset);
    if (offset % geometry_.block_bytes != 0 || bytes.size() % geometry_.block_bytes != 0 || bytes.empty())
        throw Violation("I3: " + where + " is not made of whole blocks");
    if (life.end == LifeEnd::left || life.end == LifeEnd::failed)
        throw Violation("I3: " + where + " after the life has ended");
    if (offset >= geometry_.areas_offset()) {
        if (life.slot == no_node) throw Violation("I3: " + where + " before any slot was claimed");
        const auto begin = geometry_.area_offset(life.slot);
        if (offset < begin || offset + bytes.size() > begin + geometry_.area_bytes)
            throw Violation("I3: " + where + " is outside of its own area");
        return;
    }
    if (offset < disk::slots_offset || offset >= disk::slots_offset + geometry_.slots_bytes())
        throw Violation("I3: " + where + " lies in no slot and no area");
    if (bytes.size() != geometry_.block_bytes) throw Violation("I3: " + where + " covers more than one slot");
    const auto node = static_cast<NodeIndex>((offset - disk::slots_offset) / geometry_.block_bytes);
    const auto header = disk::decode_slot_header(bytes, volume, node, offset);
    if (!header) throw Violation("I9: " + where + " writes an image that does not decode: " + describe(header.error()));
    const bool claim = header->state == disk::SlotState::claiming;
    life.submitted_sequence = header->sequence;
    if (claim && !life.joined) {
        if (life.incarnation != header->incarnation)
            life.has_lease = life.lease_over = false;   // an earlier claim was given up
        life.slot = node;
        life.incarnation = header->incarnation;
        for (const auto& other : lives_)
            if (other.id != id && other.slot == node && other.joined && other.end == LifeEnd::running &&
                other.has_lease && !other.lease_over && other.clients_gone_at > now &&
                now < other.clock.when(other.lease_end))
                throw Violation("I3: " + where + " claims the slot of " + name(other) + " whose lease is not over");
        return;
    }
    // From here on it may be taken for gone, whenever the write lands and whether or not its process learns of that.
    if (header->state == disk::SlotState::left) life.clients_gone_at = std::min(life.clients_gone_at, now);
    if (header->state == disk::SlotState::fenced && use_end(life) > now)
        throw Violation("I1: " + where + " says that the life is over before its clients have stopped");
    if (node != life.slot || header->incarnation != life.incarnation)
        throw Violation("I3: " + where + " is not in its own slot or not of its own incarnation");
}

bool Lives::may_be_certified(const Life& life, Time now) const {
    return life.joined && life.has_lease && !life.lease_over && life.clock.local(now) < life.lease_end;
}

void Lives::slot_write_done(LifeId id, disk::SlotState state, bool ok, Instant submitted, Instant now) {
    Life& life = get(id);
    if (ok && state == disk::SlotState::claiming && !life.joined) life.has_lease = life.lease_over = false;
    if (!ok || life.lease_over) return;
    if (state != disk::SlotState::live && state != disk::SlotState::leaving) return;
    if (life.has_lease && now >= life.lease_end) {
        life.lease_over = true;
        return;
    }
    const Instant end = submitted + timing_.lease;
    life.lease_end = life.has_lease ? std::max(life.lease_end, end) : end;
    life.has_lease = true;
}

void Lives::joined(LifeId id, NodeIndex node, const Incarnation& incarnation, Time now) {
    Life& life = get(id);
    if (node != life.slot || incarnation != life.incarnation)
        throw Violation("I3: " + name(life) + " says it joined as node " + std::to_string(node) +
                        " without having claimed that");
    for (const auto& other : lives_)
        if (other.id != id && other.slot == node && other.joined && other.end != LifeEnd::left && use_end(other) > now)
            throw Violation("I3: " + name(life) + " is live in the slot of " + name(other));
    life.joined = true;
}

void Lives::end(LifeId id, LifeEnd how, Time now) {
    Life& life = get(id);
    if (life.end != LifeEnd::running) return;
    life.end = how;
    life.ended_at = now;
    if (how != LifeEnd::crashed) life.clients_gone_at = now;
}

void Lives::clients_gone(LifeId id, Time now) {
    Life& life = get(id);
    life.clients_gone_at = std::min(life.clients_gone_at, now);
}

Time Lives::use_end(const Life& life) const {
    if (!life.has_lease) return 0;
    return std::min(life.clients_gone_at, life.clock.when(life.lease_end + timing_.stop()));
}

Time Lives::died_at(const Life& life, Time now) const {
    if (life.end == LifeEnd::crashed || life.end == LifeEnd::lost || life.end == LifeEnd::fenced) return life.ended_at;
    if (life.end == LifeEnd::running && life.has_lease && use_end(life) <= now) return use_end(life);
    return forever;
}

void Lives::check_evicted(LifeId observer, NodeIndex node, const Incarnation& incarnation, Time now) const {
    for (const auto& life : lives_) {
        if (life.slot != node || life.incarnation != incarnation || life.end == LifeEnd::left) continue;
        if (use_end(life) <= now || life.id == observer) continue;     // an own claim that it has given up
        throw Violation("I7: " + name(get(observer)) + " evicted " + name(life) + " " +
                        std::to_string((use_end(life) - now) / 1'000'000) + " ms before its clients must have stopped");
    }
}

void Lives::check_lost(LifeId id, bool excused, const std::string& reason, Time now) const {
    const Life& life = get(id);
    if (excused || !life.has_lease || life.lease_over) return;
    if (life.clock.local(now) + microseconds(1) < life.lease_end)
        throw Violation("stall, don't fail: " + name(life) + " gave up \"" + reason + "\" with " +
                        std::to_string((life.lease_end - life.clock.local(now)).ms()) + " ms of its lease left");
}

void Lives::check_lease_respected(LifeId id, Time now) const {
    const Life& life = get(id);
    if (!life.joined || life.end != LifeEnd::running || !life.has_lease) return;
    if (life.clock.local(now) > life.lease_end + milliseconds(1))
        throw Violation("I1: " + name(life) + " runs on " +
                        std::to_string((life.clock.local(now) - life.lease_end).ms()) + " ms after its lease");
}

}  // namespace sdlm::sim
