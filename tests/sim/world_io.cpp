// SPDX-License-Identifier: LGPL-2.1-or-later
// The runtime of the simulated processes: executes a core's output on the simulated disk.
#include <algorithm>

#include "locks/core/mode.hpp"
#include "tests/sim/violation.hpp"
#include "tests/sim/world.hpp"
#include "tests/sim/world_host.hpp"

namespace sdlm::sim {

void World::pump(Host& host) {
    Process& process = *host.process;
    const Instant local = host.clock.local(now_);
    process.core.pump(local, process.out);
    const std::size_t io_count = process.out.reads.size() + process.out.writes.size();
    const bool crash = host.crash_at_next_io && io_count != 0;
    std::uint64_t survivors = crash ? prng_.below(io_count + 1) : io_count;
    for (auto& write : process.out.writes)
        if (survivors != 0) {
            --survivors;
            submit_write(host, write);
        }
    for (const auto& read : process.out.reads)
        if (survivors != 0) {
            --survivors;
            submit_read(host, read);
        }
    if (crash) {
        note("host " + std::to_string(host.index) + " crashes at its I/O");
        kill(host, LifeEnd::crashed);
        schedule_restart(host);
        return;
    }
    for (const auto& event : process.out.events) node_event(host, event);
    process.load.deliver(now_);
    lives_.check_lease_respected(process.life, now_);
    schedule_wake(host, process.out.wake);
}

void World::schedule_wake(Host& host, Instant wake) {
    Process& process = *host.process;
    const Time at = wake == never ? forever : std::max(now_, host.clock.when(wake));
    // A wake in the past is a busy loop in the daemon.
    process.idle_wakes =
        at == now_ && process.out.reads.empty() && process.out.writes.empty() ? process.idle_wakes + 1 : 0;
    if (process.idle_wakes > 1'000)
        throw Violation("I8: host " + std::to_string(host.index) + " asks to be called at once, again and again (" +
                        node::text(process.core.status(host.clock.local(now_)).state) + ")");
    if (at == process.wake_at) return;
    ++process.wake_serial;
    process.wake_at = at;
    if (at != forever) add_event(EventKind::wake, host, at, process.wake_serial);
}

void World::submit_read(Host& host, const node::Read& read) {
    ++statistics_.reads;
    if (read.bytes == 0 || read.offset % superblock_.geometry.block_bytes != 0 ||
        read.bytes % superblock_.geometry.block_bytes != 0 ||
        read.offset + read.bytes > superblock_.geometry.volume_bytes)
        throw Violation("I9: host " + std::to_string(host.index) + " reads " + std::to_string(read.bytes) +
                        " bytes at " + std::to_string(read.offset));
    SimIo io;
    io.host = host.index;
    io.life = host.process->life;
    io.core_id = read.id;
    io.offset = read.offset;
    io.submitted = host.clock.local(now_);
    io.submitted_at = now_;
    io.bytes.resize(read.bytes);
    const IoPlan plan = faults_.plan_read(now_, host.index, prng_);
    if (options_.trace_lines != 0)
        note("host " + std::to_string(host.index) + " reads " + std::to_string(read.bytes) + " bytes at " +
             std::to_string(read.offset) + ", done at " + std::to_string(plan.done / 1'000) +
             (plan.ok ? "" : " with an error"));
    schedule(disk_.submit(std::move(io), plan, prng_));
}

// What a slot or page write publishes, for the trace.
std::string World::describe_write(const node::Write& write, NodeIndex slot) const {
    std::vector<disk::Record> records;
    std::string line;
    if (write.offset >= superblock_.geometry.areas_offset()) {
        line = "pages at " + std::to_string(write.offset);
        for (std::size_t at = 0; at < write.bytes.size(); at += limits::page_bytes) {
            const std::span page{write.bytes.data() + at, limits::page_bytes};
            const auto header = disk::decode_any_page(page, superblock_.uuid, write.offset + at, records);
            line += header ? " #" + std::to_string(header->number) : std::string(" card");
        }
    } else {
        const auto header = disk::decode_slot_header(write.bytes, superblock_.uuid, slot, write.offset);
        if (!header) return "a bad slot image";
        const auto& stream = header->stream;
        line = "slot " + std::to_string(slot) + " " + disk::text(header->state) + " gen " +
               std::to_string(header->incarnation.generation) + " seq " + std::to_string(header->sequence) + " last " +
               std::to_string(stream.last) +
               (stream.complete ? " complete"
                                : " pages " + std::to_string(stream.tail) + "-" + std::to_string(stream.head));
        static_cast<void>(disk::decode_slot_records(write.bytes, write.offset, records).has_value());
    }
    for (const auto& record : records)
        if (const auto* evict = std::get_if<disk::EvictEntry>(&record)) {
            const auto& fact = evict->evict;
            line += "; node " + std::to_string(evict->node) + " generation " + std::to_string(fact.incarnation.generation) +
                    (fact.incarnation.question() ? " answered" : " dead") + (fact.settled ? ", settled" : "") +
                    (fact.retracted ? ", retracted" : "");
        } else if (const auto* entry = std::get_if<disk::LockEntry>(&record)) {
            const auto& lock = entry->lock;
            line += "; " + entry->key.name.substr(0, 5) + " " + locks::text(lock.held);
            if (lock.phase != disk::Phase::none)
                line += std::string(lock.phase == disk::Phase::trying ? " tries " : " waits for ") +
                        locks::text(lock.want) + " #" + std::to_string(lock.ticket) + (lock.noqueue ? " noqueue" : "") +
                        (lock.convert ? " convert" : "");
            if (lock.answered != 0) line += " answered " + std::to_string(lock.answered);
            if (lock.interest) line += " interest";
            if (lock.orphan_lvb) line += " orphan";
            if (lock.lvb.version != 0)
                line += " v" + std::to_string(lock.lvb.version) + (lock.lvb.valid ? "" : " not valid");
        }
    return line;
}

// The write ends well and is nowhere in its own slot; another live node finds it in its own.
void World::misdirect(const Host& host, const node::Write& write, IoPlan& plan) {
    const Host* victim = random_host(true);
    if (victim == nullptr || victim == &host) return;
    const NodeIndex node = lives_.get(victim->process->life).slot;
    note("host " + std::to_string(host.index) + " slot write is misdirected to slot " + std::to_string(node));
    damage_later(node, write.bytes, plan.step[0]);
    plan.step_count = 0;
}

void World::submit_write(Host& host, node::Write& write) {
    ++statistics_.writes;
    Process& process = *host.process;
    if (write.offset + write.bytes.size() > superblock_.geometry.volume_bytes)
        throw Violation("I3: host " + std::to_string(host.index) + " writes beyond the volume");
    lives_.check_write(process.life, write.offset, write.bytes, superblock_.uuid, now_);
    const bool slot = write.offset < superblock_.geometry.areas_offset();
    if (!slot) ++statistics_.pages;
    IoPlan plan = faults_.plan_write(now_, host.index, slot, prng_);
    if (plan.misdirected) misdirect(host, write, plan);
    if (options_.trace_lines != 0)
        note("host " + std::to_string(host.index) + " writes " + describe_write(write, lives_.get(process.life).slot) +
             ", done at " + std::to_string(plan.done / 1'000) + (plan.ok ? "" : " with an error"));
    SimIo io;
    io.write = true;
    io.host = host.index;
    io.life = process.life;
    io.core_id = write.id;
    io.offset = write.offset;
    io.submitted = host.clock.local(now_);
    io.submitted_at = now_;
    io.bytes = std::move(write.bytes);
    schedule(disk_.submit(std::move(io), plan, prng_));
}

void World::schedule(IoIndex index) {
    const SimIo& io = disk_.io(index);
    for (std::size_t i = 0; i < io.plan.step_count; ++i)
        queue_.add({.at = io.plan.step[i], .argument = std::uint64_t{index} << 8 | i, .kind = EventKind::io_step});
    queue_.add({.at = io.plan.done, .argument = index, .life = io.life, .host = io.host, .kind = EventKind::io_done});
}

void World::io_done(Host& host, IoIndex index) {
    Process& process = *host.process;
    SimIo& io = disk_.io(index);
    const Instant local = host.clock.local(now_);
    const node::IoId id = io.core_id;
    const Error error{.code = Errc::io, .os_errno = 5, .offset = io.offset};
    if (io.write) {
        const bool slot = io.offset < superblock_.geometry.areas_offset();
        if (slot) {
            const NodeIndex node = lives_.get(process.life).slot;
            const auto header = disk::decode_slot_header(io.bytes, superblock_.uuid, node, io.offset);
            if (header) lives_.slot_write_done(process.life, header->state, io.plan.ok, io.submitted, local);
        }
        const bool ok = io.plan.ok;
        disk_.finish(index);
        process.core.write_done(local, id, ok ? Result<void>{} : Result<void>{error});
        return;
    }
    if (!io.plan.ok) {
        disk_.finish(index);
        process.core.read_done(local, id, error);
        return;
    }
    const std::vector<std::byte> bytes = std::move(io.bytes);
    io.bytes.clear();
    disk_.finish(index);
    process.core.read_done(local, id, std::span<const std::byte>{bytes});
}

void World::resume(Host& host) {
    host.paused = false;
    note("host " + std::to_string(host.index) + " goes on");
    if (!host.process) return;
    const LifeId life = host.process->life;
    std::vector<Event> events = std::move(host.deferred);
    host.deferred.clear();
    // Completions first, then the core looks at its lease, then clients: the order of a process that wakes up.
    for (const auto& event : events)
        if (event.kind == EventKind::io_done && event.life == life) io_done(host, static_cast<IoIndex>(event.argument));
    host.process->wake_at = forever;
    pump(host);
    for (const auto& event : events) {
        if (!host.process || host.process->life != life || host.paused) return;
        if (event.kind != EventKind::io_done && event.kind != EventKind::wake) handle_of_host(event, host);
    }
}

}  // namespace sdlm::sim
