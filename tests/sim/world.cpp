// SPDX-License-Identifier: LGPL-2.1-or-later
// The world's set-up, its event loop and its end.
#include "tests/sim/world.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "locks/core/mode.hpp"
#include "tests/sim/violation.hpp"
#include "tests/sim/world_host.hpp"

namespace sdlm::sim {

namespace {

constexpr std::size_t key_count = 320;

std::vector<disk::ResourceKey> make_keys() {
    std::vector<disk::ResourceKey> keys;
    for (std::size_t i = 0; i < key_count; ++i) {
        std::string name = "r" + std::to_string(i);
        if (i % 16 == 7) name.resize(limits::resource_name_max, 'n');
        keys.push_back({i % 3 == 0 ? "alpha" : "a-second-lockspace", name});
    }
    return keys;
}

}  // namespace

disk::Superblock World::draw_superblock(const WorldOptions& options, Prng& prng) {
    disk::Superblock sb;
    for (auto& byte : sb.uuid.bytes) byte = static_cast<std::uint8_t>(prng.next());
    const auto hosts = options.hosts != 0 ? options.hosts : static_cast<std::uint32_t>(3 + prng.below(3));
    const bool big = prng.one_in(4);
    constexpr std::array<std::uint32_t, 4> leases_ms{2'000, 3'000, 4'000, 6'000};
    sb.lease_ms = leases_ms[prng.below(leases_ms.size())];
    sb.heartbeat_ms = sb.lease_ms / (prng.one_in(2) ? 8 : 16);
    sb.io_timeout_ms = sb.lease_ms / (prng.one_in(2) ? 8 : 4);
    sb.geometry.block_bytes = options.block_bytes != 0 ? options.block_bytes : (big ? 4096 : 512);
    sb.geometry.slot_count = hosts + static_cast<std::uint32_t>(prng.below(4));
    sb.geometry.area_bytes = (64 + 64 * prng.below(4)) * 1024;
    sb.geometry.volume_bytes =
        disk::bytes_needed(sb.geometry.block_bytes, sb.geometry.slot_count, sb.geometry.area_bytes);
    if (const auto ok = disk::check(sb.geometry); !ok)
        throw Violation("simulated geometry: " + sdlm::describe(ok.error()));
    return sb;
}

World::World(const WorldOptions& options)
    : options_(options),
      prng_(options.seed * 0x9e3779b97f4a7c15ULL + 1),
      superblock_(draw_superblock(options, prng_)),
      timing_{milliseconds(superblock_.heartbeat_ms), milliseconds(superblock_.lease_ms),
              milliseconds(superblock_.io_timeout_ms)},
      faults_(options.faults, timing_, superblock_.geometry.slot_count, options.fault_gap, prng_),
      disk_(superblock_.geometry.volume_bytes,
            superblock_.geometry.block_bytes == 4096 && !options.faults.has(Fault::torn) ? 4096 : 512),
      lives_(superblock_.geometry, timing_),
      checker_(lives_, timing_, key_count),
      witness_(disk_, superblock_.geometry, superblock_.uuid),
      load_{.prng = prng_,
            .queue = queue_,
            .checker = checker_,
            .lives = lives_,
            .witness = witness_,
            .keys = make_keys(),
            .statistics = {},
            .trace = {}} {
    if (options.trace_lines != 0) load_.trace = [this](Time at, const std::string& line) { trace(at, line); };
    if (!options.faults.any()) load_.wait_max = ms(30'000);
    format();
    const auto host_count = options.hosts != 0 ? options.hosts : static_cast<std::uint32_t>(3 + prng_.below(3));
    const bool fixed = prng_.one_in(2);
    client_gap_ = ms(20) + static_cast<Time>(prng_.below(static_cast<std::uint64_t>(ms(60))));
    for (std::uint16_t i = 0; i < std::min(host_count, superblock_.geometry.slot_count); ++i) {
        auto host = std::make_unique<Host>();
        host->index = i;
        for (auto& byte : host->uuid.bytes) byte = static_cast<std::uint8_t>(prng_.next());
        host->clock.offset_ns = ms(static_cast<std::int64_t>(1'000 + prng_.below(100'000'000)));
        if (options.faults.has(Fault::clock))
            host->clock.rate_ppm = static_cast<std::int64_t>(prng_.below(100'001)) - 50'000;
        if (fixed) host->fixed_node = i;
        Time start = static_cast<Time>(prng_.below(static_cast<std::uint64_t>(ms(400))));
        if (options.faults.has(Fault::join_late) && i >= 2)
            start += static_cast<Time>(prng_.below(static_cast<std::uint64_t>(ms(20'000))));
        queue_.add({.at = start, .host = i, .kind = EventKind::start_process});
        hosts_.push_back(std::move(host));
    }
    end_at_ = ms(options.seconds * 1'000);
    const Time tail = timing_.failover_bound().ns * 2 + ms(6'000);
    quiet_at_ = std::max<Time>(end_at_ / 4, end_at_ - tail);
    queue_.add({.at = quiet_at_, .kind = EventKind::quiet});
    queue_.add({.at = faults_.next_tick(ms(1'000), prng_), .kind = EventKind::fault});
}

World::~World() = default;

void World::format() {
    const auto& geometry = superblock_.geometry;
    disk::encode(superblock_, disk::superblock_offset, disk_.bytes().first(disk::superblock_bytes));
    for (NodeIndex node = 0; node < geometry.slot_count; ++node) {
        const auto offset = geometry.slot_offset(node);
        disk::SlotHeader header;
        header.node = node;
        disk::encode_slot(header, 0, {}, superblock_.uuid, offset,
                          disk_.bytes().subspan(offset, geometry.block_bytes));
    }
}

std::string World::describe() const {
    const auto& g = superblock_.geometry;
    return std::to_string(hosts_.size()) + " hosts, " + std::to_string(g.slot_count) + " slots, block " +
           std::to_string(g.block_bytes) + ", area " + std::to_string(g.area_bytes / 1024) + "K, heartbeat " +
           std::to_string(superblock_.heartbeat_ms) + " lease " + std::to_string(superblock_.lease_ms) +
           " io_timeout " + std::to_string(superblock_.io_timeout_ms) + " ms, dead " +
           std::to_string(timing_.dead().ms()) + " ms, quiet from " + std::to_string(quiet_at_ / 1'000'000) + " ms";
}

void World::trace(Time at, const std::string& line) {
    std::string stamp = std::to_string(at / 1'000);
    if (stamp.size() < 10) stamp.insert(0, 10 - stamp.size(), ' ');
    trace_.push_back(stamp + "us " + line);
    if (trace_.size() > options_.trace_lines) trace_.pop_front();
}

void World::add_event(EventKind kind, const Host& host, Time at, std::uint64_t argument) {
    queue_.add({.at = at,
                .argument = argument,
                .life = host.process ? host.process->life : 0,
                .host = host.index,
                .kind = kind});
}

void World::run() {
    try {
        while (!queue_.empty()) {
            const Event event = queue_.take();
            if (event.at > end_at_) break;
            now_ = std::max(now_, event.at);
            ++statistics_.events;
            for (const std::uint64_t part : {static_cast<std::uint64_t>(now_), event.argument,
                                             static_cast<std::uint64_t>(event.kind), std::uint64_t{event.host}})
                digest_ = (digest_ ^ part) * 0x100000001b3ULL;
            handle(event);
        }
        now_ = end_at_;
        check_end();
    } catch (const Violation& violation) {
        if (options_.trace_lines != 0) note_beliefs(violation.what());
        throw;
    }
}

// What the nodes believed when it happened: of each other, and of the key that the violation names.
void World::note_beliefs(const std::string& violation) {
    for (const auto& host : hosts_)
        if (host->process) note_peers(*host);
    const std::size_t at = violation.find(" key ");
    if (at == std::string::npos) return;
    const auto key = static_cast<KeyIndex>(std::strtoul(violation.c_str() + at + 5, nullptr, 10));
    if (key < load_.keys.size()) note_views(load_.keys[key]);
}

void World::handle(const Event& event) {
    switch (event.kind) {
    case EventKind::io_step: return disk_.take_step(static_cast<IoIndex>(event.argument >> 8), event.argument & 0xff);
    case EventKind::fault: return fault_tick();
    case EventKind::damage: return damage(event.argument);
    case EventKind::heal: return heal(event.argument);
    case EventKind::quiet: return begin_quiet();
    default: break;
    }
    Host& host = *hosts_[event.host];
    if (event.kind == EventKind::start_process) return start_process(host);
    if (event.kind == EventKind::guardian) return guardian_acts(host, static_cast<LifeId>(event.argument));
    if (event.kind == EventKind::resume) {
        if (host.paused && now_ >= host.paused_until) resume(host);
        return;
    }
    if (!host.process || host.process->life != event.life) return;
    if (host.paused) {
        host.deferred.push_back(event);
        return;
    }
    handle_of_host(event, host);
}

void World::handle_of_host(const Event& event, Host& host) {
    Process& process = *host.process;
    switch (event.kind) {
    case EventKind::io_done: io_done(host, static_cast<IoIndex>(event.argument)); break;
    case EventKind::wake:
        if (event.argument != process.wake_serial) return;
        process.wake_at = forever;
        break;
    case EventKind::client: {
        if (process.ending || process.leaving || process.fencing) return;
        process.load.act(now_);
        const auto gap = static_cast<std::uint64_t>(client_gap_ * 2);
        if (!load_.quiet) add_event(EventKind::client, host, now_ + 1 + static_cast<Time>(prng_.below(gap)));
        break;
    }
    case EventKind::hold_end:
        if (process.ending || process.fencing) return;
        process.load.hold_end(static_cast<KeyIndex>(event.argument & 0xffff), event.argument >> 16, now_);
        break;
    case EventKind::clients_stopped:
        if (process.ending) return;
        lives_.clients_gone(process.life, now_);
        checker_.life_ended(process.life, now_);
        process.core.clients_stopped();
        break;
    case EventKind::end_process:
        kill(host, LifeEnd::crashed);
        schedule_restart(host);
        return;
    default: return;
    }
    pump(host);
}

void World::begin_quiet() {
    note("faults stop, clients release");
    load_.quiet = true;
    faults_.stop();
    faults_.heal();
    for (auto& host : hosts_) {
        host->crash_at_next_io = false;
        if (host->paused) resume(*host);
        if (!host->process || host->process->ending || host->process->fencing) continue;
        host->process->load.quiesce(now_);
        pump(*host);
    }
}

// What every node believes of one resource, for the trace of a want that was never decided.
void World::note_views(const disk::ResourceKey& key) {
    for (const auto& host : hosts_) {
        if (!host->process || !host->process->joined) continue;
        for (const auto& row : host->process->core.lock_rows(std::nullopt, SIZE_MAX)) {
            if (row.key != key) continue;
            const auto& lock = row.record;
            note("host " + std::to_string(host->index) + " believes: " + key.name + " node " +
                 std::to_string(row.node) + (row.own ? " (own) " : " ") + locks::text(lock.held) +
                 (lock.phase == disk::Phase::none     ? ""
                  : lock.phase == disk::Phase::trying ? " tries "
                                                      : " waits for ") +
                 (lock.phase == disk::Phase::none ? "" : locks::text(lock.want)) + " #" + std::to_string(lock.ticket) +
                 (row.own ? std::string(" uses ") + locks::text(row.used) : std::string()) +
                 (lock.convert ? " convert" : "") + (lock.interest ? " interest" : "") +
                 (lock.orphan_lvb ? " orphan" : "") +
                 (lock.lvb.version == 0
                      ? ""
                      : " v" + std::to_string(lock.lvb.version) + (lock.lvb.valid ? "" : " not valid")));
        }
    }
}

// ... and of the other nodes.
void World::note_peers(const Host& host) {
    const auto status = host.process->core.status(host.clock.local(now_));
    for (const auto& peer : status.peers)
        note("host " + std::to_string(host.index) + " (" + node::text(status.state) + " as node " +
             std::to_string(status.node) + ") believes: node " + std::to_string(peer.node) + " " +
             node::text(peer.verdict) + " " + disk::text(peer.header.state) + " generation " +
             std::to_string(peer.header.incarnation.generation) + " sequence " + std::to_string(peer.header.sequence) +
             ", age " + std::to_string(peer.age.ms()) + " ms, " + std::to_string(peer.records) + " records " +
             peer.problem);
}

void World::check_end() {
    for (auto& host : hosts_) {
        const std::string who = "host " + std::to_string(host->index);
        if (!host->process || host->process->ending) continue;
        const Process& process = *host->process;
        if (process.fencing) throw Violation("I8: " + who + " was asked to stop and never ended");
        if (process.leaving) throw Violation("I8: " + who + " never finished its clean leave");
        if (!process.joined) {
            if (now_ - process.started_at > timing_.dead().ns * 4 + timing_.io_timeout.ns * 4)
                throw Violation("I8: " + who + " never joined");
            continue;
        }
        process.load.check_nothing_pending(who, now_);
        const auto status = process.core.status(host->clock.local(now_));
        statistics_.ring_used_max = std::max(statistics_.ring_used_max, status.ring_used);
        if (status.ring_used > status.ring_pages) throw Violation("I10: " + who + " uses more ring pages than it has");
    }
}

}  // namespace sdlm::sim
