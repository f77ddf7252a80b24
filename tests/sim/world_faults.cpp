// SPDX-License-Identifier: LGPL-2.1-or-later
// Births, deaths and everything else that goes wrong in the world.
#include <algorithm>

#include "heartbeat/last_image.hpp"
#include "tests/sim/violation.hpp"
#include "tests/sim/world.hpp"
#include "tests/sim/world_host.hpp"

namespace sdlm::sim {

void World::start_process(Host& host) {
    // A node that starts when nearly nothing of the quiet phase is left could not show anything.
    if (host.process || (load_.quiet && now_ > quiet_at_ + ms(3'000))) return;
    node::Identity identity;
    identity.requested = host.fixed_node;
    identity.host = host.uuid;
    identity.boot = host.boot;
    identity.node_name = "node" + std::to_string(host.index);
    identity.host_name = "host" + std::to_string(host.index);
    identity.version = "sim";
    identity.pid = 100U + host.index;
    identity.started_unix = 1'000'000 + static_cast<std::uint64_t>(now_ / ms(1'000));
    identity.nonce_seed = prng_.next();
    const LifeId life = lives_.begin(host.index, host.boot, host.clock, now_);
    host.process = std::make_unique<Process>(superblock_, timing_, std::move(identity), load_, life, host.index);
    host.process->started_at = now_;
    note("host " + std::to_string(host.index) + " starts life " + std::to_string(life));
    host.process->core.start(host.clock.local(now_));
    pump(host);
}

void World::orphan_io(LifeId life) {
    const bool zombies = faults_.has(Fault::zombie);
    std::vector<IoIndex> late;
    disk_.for_each_of(life, [&](IoIndex index, SimIo& io) {
        io.orphan = true;
        if (!io.write) disk_.drop_steps(index);
        else if (io.steps_left != 0) {
            // Whatever the plan was: a dead process's write lands within the I/O time bound, or never.
            const bool too_late = std::any_of(io.plan.step.begin(),
                                              io.plan.step.begin() + static_cast<std::ptrdiff_t>(io.plan.step_count),
                                              [&](Time t) { return t > now_ + timing_.io_timeout.ns * 9 / 10; });
            const std::uint64_t fate = prng_.below(4);
            if (zombies && fate < 2) late.push_back(index);
            else if (too_late || fate == 2) disk_.drop_steps(index);
        }
    });
    Time landed = now_;
    disk_.for_each_of(life, [&](IoIndex, const SimIo& io) {
        if (io.write && io.steps_left != 0)
            for (std::size_t i = 0; i < io.plan.step_count; ++i) landed = std::max(landed, io.plan.step[i]);
    });
    for (const IoIndex index : late) {
        SimIo copy;
        copy.write = copy.orphan = true;
        copy.offset = disk_.io(index).offset;
        copy.bytes = disk_.io(index).bytes;
        IoPlan plan;
        plan.step_count = 1;
        plan.step[0] = plan.done = faults_.late_landing(now_, prng_);
        landed = std::max(landed, plan.step[0]);
        disk_.drop_steps(index);
        const IoIndex landing = disk_.submit(std::move(copy), plan, prng_);
        queue_.add({.at = plan.step[0], .argument = std::uint64_t{landing} << 8, .kind = EventKind::io_step});
        disk_.finish(landing);
        note("a write of life " + std::to_string(life) + " will land at " + std::to_string(plan.step[0] / 1'000));
    }
    disk_.for_each_of(life, [&](IoIndex index, SimIo&) { disk_.finish(index); });
    lives_.get(life).landed_at = std::max(lives_.get(life).landed_at, landed);
}

// The guardian kills the clients of its dead daemon, waits until nothing of it can land any more, and says in the slot
// that the life is over. It dies with its host.
void World::call_guardian(const Host& host, LifeId life) {
    const Life& dead = lives_.get(life);
    if (!faults_.has(Fault::guardian) || !dead.joined || prng_.one_in(3)) return;
    const auto grace = static_cast<std::uint64_t>(timing_.told().ns);
    const Time at = std::max(now_ + static_cast<Time>(prng_.below(prng_.one_in(2) ? grace / 8 + 1 : grace)), dead.landed_at) + 1;
    queue_.add({.at = at, .argument = life, .life = 0, .host = host.index, .kind = EventKind::guardian});
}

void World::guardian_acts(const Host& host, LifeId life) {
    const Life& dead = lives_.get(life);
    if (host.boot != dead.boot || !lives_.may_be_certified(dead, now_)) return;
    lives_.clients_gone(life, now_);
    const auto& geometry = superblock_.geometry;
    const std::uint64_t offset = geometry.slot_offset(dead.slot);
    auto image = heartbeat::make_last_image(disk_.view(offset, geometry.block_bytes), superblock_.uuid, dead.slot,
                                            offset, dead.incarnation, dead.submitted_sequence);
    if (!image) return;
    lives_.check_write(life, offset, *image, superblock_.uuid, now_);
    const IoPlan plan = faults_.plan_write(now_, host.index, true, prng_);
    note("guardian of host " + std::to_string(host.index) + " says that life " + std::to_string(life) + " is over, done at " +
         std::to_string(plan.done / 1'000) + (plan.ok ? "" : " with an error"));
    ++statistics_.certified;
    SimIo io;
    io.write = io.orphan = true;
    io.host = host.index;
    io.offset = offset;
    io.submitted_at = now_;
    io.bytes = std::move(*image);
    const IoIndex index = disk_.submit(std::move(io), plan, prng_);
    for (std::size_t i = 0; i < plan.step_count; ++i)
        queue_.add({.at = plan.step[i], .argument = std::uint64_t{index} << 8 | i, .kind = EventKind::io_step});
    disk_.finish(index);
    if (!plan.ok)
        queue_.add({.at = plan.done + timing_.io_timeout.ns * 12 / 10, .argument = life, .life = 0, .host = host.index, .kind = EventKind::guardian});
}

void World::kill(Host& host, LifeEnd how) {
    Process& process = *host.process;
    const LifeId life = process.life;
    statistics_.ring_used_max =
        std::max(statistics_.ring_used_max, process.core.status(host.clock.local(now_)).ring_used);
    const bool was_running = lives_.get(life).end == LifeEnd::running;
    lives_.end(life, how, now_);
    if (was_running) checker_.life_ended(life, now_);
    host.process.reset();
    host.paused = false;
    host.crash_at_next_io = false;
    host.deferred.clear();
    orphan_io(life);
    if (was_running && how == LifeEnd::crashed) call_guardian(host, life);
}

void World::schedule_restart(Host& host) {
    Time delay = prng_.below(10) < 4 ? ms(1) + static_cast<Time>(prng_.below(static_cast<std::uint64_t>(ms(50))))
                                     : ms(100) + static_cast<Time>(prng_.below(static_cast<std::uint64_t>(ms(6'000))));
    if (faults_.has(Fault::reboot) && prng_.one_in(4)) {
        delay += ms(500);
        ++host.boot;
        host.clock.boot = now_;
        host.clock.offset_ns = ms(static_cast<std::int64_t>(prng_.below(60'000)));
        host.clock.rate_ppm = static_cast<std::int64_t>(prng_.below(100'001)) - 50'000;
        note("host " + std::to_string(host.index) + " reboots");
    }
    queue_.add({.at = now_ + delay, .host = host.index, .kind = EventKind::start_process});
}

void World::begin_leave(Host& host) {
    Process& process = *host.process;
    note("host " + std::to_string(host.index) + " leaves");
    process.leaving = true;
    process.load.close_all(now_);
    process.core.leave(host.clock.local(now_));
    pump(host);
}

void World::node_event(Host& host, const node::NodeEvent& event) {
    Process& process = *host.process;
    const std::string who = "host " + std::to_string(host.index);
    const auto ends = [&](LifeEnd how) {
        if (process.ending) throw Violation("I8: " + who + " ends twice");
        process.ending = true;
        lives_.end(process.life, how, now_);
        checker_.life_ended(process.life, now_);
        add_event(EventKind::end_process, host,
                  now_ + static_cast<Time>(prng_.below(static_cast<std::uint64_t>(ms(30)))));
    };
    if (const auto* joined = std::get_if<node::Joined>(&event)) {
        note(who + " joined as node " + std::to_string(joined->node) + " generation " +
             std::to_string(joined->incarnation.generation));
        ++statistics_.joins;
        lives_.joined(process.life, joined->node, joined->incarnation, now_);
        process.joined = true;
        process.load.start(now_);
        add_event(EventKind::client, host, now_ + 1);
    } else if (const auto* failed = std::get_if<node::JoinFailed>(&event)) {
        note(who + " cannot join: " + failed->message);
        if (!options_.faults.any())
            throw Violation("I8: " + who + " cannot join without any fault: " + failed->message);
        ++statistics_.join_failures;
        ends(LifeEnd::failed);
    } else if (std::holds_alternative<node::Left>(event)) {
        note(who + " has left");
        if (!process.leaving) throw Violation("I8: " + who + " left without being asked");
        ++statistics_.leaves;
        ends(LifeEnd::left);
    } else if (const auto* begun = std::get_if<node::FenceBegun>(&event)) {
        note(who + " stops its clients: " + begun->reason);
        process.fencing = true;
        const auto grace = static_cast<std::uint64_t>(timing_.told().ns);
        add_event(EventKind::clients_stopped, host, now_ + static_cast<Time>(prng_.below(grace)));
    } else if (const auto* fenced = std::get_if<node::Fenced>(&event)) {
        note(who + " is fenced: " + fenced->reason);
        ++statistics_.fenced;
        if (!process.fence_requested) throw Violation("I8: " + who + " was fenced without being asked to stop");
        ends(LifeEnd::fenced);
    } else if (const auto* lost = std::get_if<node::LeaseLost>(&event)) {
        note(who + " lost its lease: " + lost->reason);
        ++statistics_.lost;
        if (options_.faults.gentle()) {
            lives_.check_lost(process.life, process.fence_requested, lost->reason, now_);
            throw Violation("stall, don't fail: " + who + " lost its lease: " + lost->reason);
        }
        ends(LifeEnd::lost);
    } else if (const auto* evicted = std::get_if<node::PeerEvicted>(&event)) {
        note(who + (evicted->by_me ? " evicts node " : " sees the eviction of node ") + std::to_string(evicted->node) +
             " generation " + std::to_string(evicted->incarnation.generation));
        ++statistics_.evictions;
        checker_.eviction_seen(now_);
        lives_.check_evicted(process.life, evicted->node, evicted->incarnation, now_);
        // Two claims of one slot: the loser's is judged dead in time, and nobody is harmed.
        const auto harmed = [&](const Life& life) { return life.joined && life.incarnation == evicted->incarnation; };
        if (options_.faults.gentle() && std::any_of(lives_.all().begin(), lives_.all().end(), harmed))
            throw Violation("stall, don't fail: " + who + " saw an eviction");
    } else if (const auto* warning = std::get_if<node::Warning>(&event)) {
        ++statistics_.warnings;
        note(who + " warns: " + warning->message);
    }
}

World::Host* World::random_host(bool must_be_live) {
    const std::uint64_t first = prng_.below(hosts_.size());
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
        Host& host = *hosts_[(first + i) % hosts_.size()];
        if (!host.process || host.process->ending || host.paused) continue;
        if (must_be_live && (!host.process->joined || host.process->leaving || host.process->fencing)) continue;
        return &host;
    }
    return nullptr;
}

void World::damage_slot(bool junk) {
    const Host* host = random_host(true);
    if (host == nullptr) return;
    const auto& g = superblock_.geometry;
    const NodeIndex node = lives_.get(host->process->life).slot;
    const auto block = disk_.view(g.slot_offset(node), g.block_bytes);
    std::vector<std::byte> bad(block.begin(), block.end());
    note(std::string(junk ? "junk over" : "a bit flips in") + " slot " + std::to_string(node));
    if (junk) {
        for (auto& byte : bad) byte = static_cast<std::byte>(prng_.next());
    } else {
        bad[prng_.below(bad.size())] ^= static_cast<std::byte>(1U << prng_.below(8));
    }
    damage_later(node, std::move(bad), now_);
}

void World::damage_later(NodeIndex node, std::vector<std::byte> bad, Time at) {
    damages_.push_back({.offset = superblock_.geometry.slot_offset(node), .bad = std::move(bad), .good = {}});
    queue_.add({.at = at, .argument = damages_.size() - 1, .kind = EventKind::damage});
}

void World::damage(std::size_t index) {
    Damage& damage = damages_[index];
    const auto block = disk_.bytes().subspan(damage.offset, damage.bad.size());
    damage.good.assign(block.begin(), block.end());
    std::copy(damage.bad.begin(), damage.bad.end(), block.begin());
    queue_.add({.at = now_ + timing_.heartbeat.ns * 3, .argument = index, .kind = EventKind::heal});
}

// Its owner heals a slot by its next heartbeat. An owner that dies before that would leave values that nobody can know
// of: damage of dead nodes' blocks is not part of the promise.
void World::heal(std::size_t index) {
    Damage& damage = damages_[index];
    const auto block = disk_.bytes().subspan(damage.offset, damage.bad.size());
    if (std::equal(block.begin(), block.end(), damage.bad.begin()))
        std::copy(damage.good.begin(), damage.good.end(), block.begin());
    damage = {};
}

void World::request_fence() {
    Host* observer = random_host(true);
    Host* target = random_host(true);
    if (observer == nullptr || target == nullptr) return;
    const NodeIndex node = lives_.get(target->process->life).slot;
    // Honoured or not, the target may stop from now on; so may a node that took its slot meanwhile.
    if (!observer->process->core.request_fence(node)) return;
    note("host " + std::to_string(observer->index) + " asks node " + std::to_string(node) + " to stop");
    target->process->fence_requested = true;
    pump(*observer);
}

void World::apply(const FaultAction& action) {
    switch (action.fault) {
    case Fault::blind:
        note("all nodes blind for " + std::to_string(action.length / 1'000) + " us");
        return faults_.blind_all(now_ + action.length, prng_);
    case Fault::rot: return damage_slot(false);
    case Fault::junk: return damage_slot(true);
    case Fault::fence: return request_fence();
    default: break;
    }
    Host* host = random_host(action.fault == Fault::leave);
    if (host == nullptr) return;
    const std::string who = "host " + std::to_string(host->index);
    switch (action.fault) {
    case Fault::stall:
    case Fault::stall_long:
        note(who + " I/O hangs for " + std::to_string(action.length / 1'000) + " us");
        return faults_.stall_host(host->index, now_ + action.length);
    case Fault::pause:
    case Fault::pause_long:
        note(who + " stops for " + std::to_string(action.length / 1'000) + " us");
        host->paused = true;
        host->paused_until = now_ + action.length;
        queue_.add({.at = host->paused_until, .host = host->index, .kind = EventKind::resume});
        return;
    case Fault::crash:
        if (prng_.one_in(2)) {
            host->crash_at_next_io = true;
            return;
        }
        note(who + " crashes");
        ++statistics_.crashes;
        kill(*host, LifeEnd::crashed);
        return schedule_restart(*host);
    case Fault::leave: return begin_leave(*host);
    default: return;
    }
}

void World::fault_tick() {
    if (load_.quiet) return;
    const FaultAction action = faults_.draw_action(prng_);
    Time next = faults_.next_tick(now_, prng_);
    if (action.fault != Fault::count_) {
        apply(action);
        // Two mild faults in a row would add up to a severe one.
        if (options_.faults.gentle()) next = std::max(next, now_ + action.length + timing_.lease.ns * 3 / 2);
    }
    queue_.add({.at = next, .kind = EventKind::fault});
}

}  // namespace sdlm::sim
