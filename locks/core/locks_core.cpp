// SPDX-License-Identifier: LGPL-2.1-or-later
// Client side, publication and bookkeeping. Decisions: arbitration.cpp; values: lvb.cpp.
#include "locks/core/locks_core.hpp"

#include <algorithm>
#include <array>

#include "disk/base/assert.hpp"
#include "disk/base/canary.hpp"
#include "locks/core/mode.hpp"

namespace sdlm::locks {

namespace {
constexpr unsigned index_bits = 20;
constexpr std::size_t resources_max = std::size_t{1} << index_bits;
// A burst of releases rides in one write.
constexpr Duration soon_delay = milliseconds(5);

Handle make_handle(ResourceIndex index, std::uint16_t tag) {
    return (Handle{tag} << index_bits) | (index & (resources_max - 1));
}
std::string table_key(const ResourceKey& key) {
    std::string out;
    out.reserve(key.lockspace.size() + 1 + key.name.size());
    out += key.lockspace;
    out += '\0';                       // never part of a lockspace name
    out += key.name;
    return out;
}
}  // namespace

Mode Resource::target() const { return join(demand.used, demand.want->mode); }

bool Resource::needs() const {
    return open && (demand.interest || held != Mode::NL || demand.used != Mode::NL || phase != Phase::none);
}

LockRecord LocksCore::make_record(const Resource& own) const {
    LockRecord r;
    r.held = own.held;
    if (own.phase != Phase::none) {
        const Want& want = *own.demand.want;
        r.phase = own.phase;
        r.want = own.target();
        r.noqueue = want.noqueue;
        r.noqueue_bast = want.noqueue_bast;
        r.convert = want.convert;
        r.owner_tag = own.tag;
        r.spared = own.tag != 0 && want.spared;
        r.ticket = own.ticket;
    }
    if (own.held != Mode::NL) r.waits_for = tags_waited_for(own);
    r.interest = own.open && own.demand.interest;
    r.answered = own.demand.used != Mode::NL ? own.answered : 0;
    r.lvb = own.carried;
    r.orphan_lvb = own.orphan() || (own.lapsed && own.carried.version > 0);     // not vouched for
    return r;
}

LocksCore::LocksCore(std::uint32_t slot_count, const heartbeat::Timing& timing, LogWriter& log)
    : timing_(timing), log_(log), records_(slot_count), valid_from_(slot_count, 1), record_count_(slot_count, 0),
      clock_of_(slot_count, 0) {}

Resource& LocksCore::at(Handle handle) {
    SDLM_ASSERT(alive(handle));
    return table_[handle & (resources_max - 1)];
}
const Resource& LocksCore::at(Handle handle) const {
    SDLM_ASSERT(alive(handle));
    return table_[handle & (resources_max - 1)];
}

bool LocksCore::alive(Handle handle) const {
    const ResourceIndex index = handle & (resources_max - 1);
    return handle != no_handle && index < table_.size() && table_[index].open &&
           make_handle(index, table_[index].handle_tag) == handle;
}

Handle LocksCore::make_handle_of(const Resource& r) const { return make_handle(r.self, r.handle_tag); }

LockEvents* LocksCore::events_of(Handle handle) const { return at(handle).events; }

ResourceIndex LocksCore::find_or_add(const ResourceKey& key) {
    const auto [slot, added] = index_.try_emplace(table_key(key), 0);
    if (!added) return slot->second;
    ResourceIndex index;
    if (!free_.empty()) {
        index = free_.back();
        free_.pop_back();
    } else {
        index = static_cast<ResourceIndex>(table_.size());
        table_.emplace_back();
    }
    const std::uint16_t tag = table_[index].handle_tag;
    table_[index] = Resource{};
    table_[index].handle_tag = tag;
    table_[index].self = index;
    table_[index].key = key;
    table_[index].used_slot = true;
    slot->second = index;
    return index;
}

void LocksCore::erase_if_unused(Resource& r) {
    if (r.open || r.entry != no_entry || !r.peers.empty() || r.unsettled != 0) return;
    if (r.touched || r.listed || r.dirty != Urgency::none) return;
    index_.erase(table_key(r.key));
    r.used_slot = false;
    r.key = {};
    free_.push_back(r.self);
}

Result<Handle> LocksCore::open(const ResourceKey& key, LockEvents& events) {
    if (key.lockspace.empty() || key.lockspace.size() > limits::lockspace_name_max)
        return Error{.code = Errc::bad_argument, .field = "lockspace"};
    if (key.name.size() > limits::resource_name_max) return Error{.code = Errc::too_large, .field = "name"};
    // Few records name what their holders wait for; the part of the ring that stays free has room for that.
    const LockRecord largest{.answered = 1, .owner_tag = 1, .lvb = {.version = 1, .length = limits::lvb_bytes_max}};
    const std::size_t reserve = disk::encoded_bytes(key, largest);
    if (index_.size() >= resources_max || reserved_bytes_ + reserve > log_.live_bytes_max())
        return Error{.code = Errc::no_space, .field = "area"};
    Resource& r = table_[find_or_add(key)];
    if (r.open) return Error{.code = Errc::exists, .field = "name"};
    reserved_bytes_ += reserve;
    r.reserved_bytes = reserve;
    r.open = true;
    r.events = &events;
    r.demand = Demand{};
    r.demand.interest = false;
    r.blocked = Mode::NL;
    r.handle_tag = static_cast<std::uint16_t>(r.handle_tag % 4000 + 1);   // never 0: no handle is no_handle
    r.conflict_at = Instant{INT64_MIN / 2};
    r.lvb = Lvb{};
    r.lvb_dirty = false;
    r.stake_write = 0;
    touch(r);
    return make_handle(r.self, r.handle_tag);
}

void LocksCore::close(Handle handle, Instant now) {
    Resource& r = at(handle);
    r.demand = Demand{};
    r.demand.interest = false;
    if (r.phase != Phase::none) set_phase(r, Phase::none, now);
    lower(r, Mode::NL, Urgency::soon, now);
    std::erase(blockers_, r.self);
    r.open = false;
    r.events = nullptr;
    r.blocked = Mode::NL;
    reserved_bytes_ -= r.reserved_bytes;
    r.reserved_bytes = 0;
    r.flag_write = 0;                     // an orphaned value waits for a read after this is written
    mark(r, r.orphan() ? Urgency::urgent : Urgency::soon, now);
    if (r.orphan()) list(r);
    r.lapsed = r.orphan();
    touch(r);
}

void LocksCore::set_demand(Handle handle, const Demand& demand, Instant now) {
    Resource& r = at(handle);
    if (r.demand == demand) return;
    SDLM_ASSERT(covers(r.held, demand.used));
    const bool want_changed = r.demand.want != demand.want;
    const bool lowered = r.demand.used != demand.used && covers(r.demand.used, demand.used);
    const bool interest_changed = r.demand.interest != demand.interest;
    const bool waits_changed = r.demand.waits_on != demand.waits_on;
    if (want_changed && r.phase != Phase::none) set_phase(r, Phase::none, now);
    const Mode old_target = r.phase != Phase::none ? r.target() : Mode::NL;
    r.demand = demand;
    if (r.phase != Phase::none && r.target() != old_target) {
        r.flag_write = 0;                 // the flag on the disk is for another mode
        mark(r, Urgency::urgent, now);
    }
    if (lowered && demand.used == Mode::NL) r.answered = 0;
    // Under a PW that is only cached others read the value, with CR, and need not ask for it.
    if (lowered && r.lvb_dirty && r.held == Mode::PW && !writes_lvb(demand.used)) {
        publish_lvb(r);
        mark(r, Urgency::urgent, now);
    }
    if (interest_changed) mark(r, Urgency::soon, now);
    if (waits_changed) {
        std::erase(blockers_, r.self);
        if (demand.waits_on[0] != no_handle) blockers_.push_back(r.self);
        mark(r, Urgency::urgent, now);
    }
    touch(r);
}

// What others wanted a moment ago is not worth keeping: they would have to ask for it and wait for the answer.
bool LocksCore::idle_cacheable(const Resource& r, Instant now) const {
    return r.demand.cache && now - r.conflict_at > timing_.heartbeat * 2;
}

const Lvb& LocksCore::lvb(Handle handle) const { return at(handle).lvb; }
Mode LocksCore::held(Handle handle) const { return at(handle).held; }

void LocksCore::touch(Resource& r) {
    if (r.touched) return;
    r.touched = true;
    touched_.push_back(r.self);
}

void LocksCore::list(Resource& r) {
    if (r.listed) return;
    r.listed = true;
    pending_.push_back(r.self);
}

void LocksCore::mark(Resource& r, Urgency urgency, Instant now) {
    if (r.dirty == Urgency::none) dirty_.push_back(r.self);
    r.dirty = std::max(r.dirty, urgency);
    if (urgency == Urgency::soon) soon_at_ = earlier(soon_at_, now + soon_delay);
    urgency_ = std::max(urgency_, urgency);
}

void LocksCore::set_held(Resource& r, Mode mode) {
    if (r.held == Mode::NL && mode != Mode::NL) ++holding_;
    if (r.held != Mode::NL && mode == Mode::NL) --holding_;
    r.held = mode;
}

// What was written here is what others see from the next record on.
void LocksCore::publish_lvb(Resource& r) {
    r.lvb.version = SDLM_CANARY(5) && r.version_seen > 0 ? r.version_seen : ++clock_;
    r.carried = r.lvb;
    r.lvb_dirty = false;
    see_version(r, r.carried.version);
}

// Gives up what is above `to`; a value written under PW/EX is published in the same record (I6).
void LocksCore::lower(Resource& r, Mode to, Urgency urgency, Instant now) {
    if (r.lvb_dirty && !writes_lvb(to)) publish_lvb(r);
    if (r.held == to) return;
    set_held(r, to);
    ++counters_.releases;
    mark(r, urgency, now);
}

void LocksCore::apply(NodeIndex node, std::uint32_t stamp, const disk::LockEntry& entry) {
    SDLM_ASSERT(node < valid_from_.size());
    Resource& r = table_[find_or_add(entry.key)];
    auto peer = std::find_if(r.peers.begin(), r.peers.end(), [&](const PeerRecord& p) { return p.node == node; });
    const std::uint64_t old_version = peer != r.peers.end() ? peer->record.lvb.version : 0;
    see_clock(entry.lock.lvb.version);
    see_tags(r, peer != r.peers.end() ? &peer->record : nullptr, &entry.lock);
    if (old_version > 0 && entry.lock.lvb.version == 0) r.changed_read = read_;
    if (entry.lock.lvb.version > 0 && entry.lock.lvb.version != old_version &&
        entry.lock.lvb.version != r.version_seen)
        see_version(r, entry.lock.lvb.version);
    if (entry.lock.gone()) {
        if (peer != r.peers.end()) {
            *peer = std::move(r.peers.back());
            r.peers.pop_back();
            --record_count_[node];
        }
    } else if (peer != r.peers.end()) {
        peer->stamp = stamp;
        peer->record = entry.lock;
    } else {
        r.peers.push_back({node, stamp, entry.lock});
        ++record_count_[node];
        list_record(node, r.self);
    }
    if (r.open || r.entry != no_entry) touch(r);
    else erase_if_unused(r);
}

// Remembers which resources a node has records of. Entries outlive their records, so the list is thinned now and then.
void LocksCore::list_record(NodeIndex node, ResourceIndex index) {
    std::vector<ResourceIndex>& list = records_[node];
    list.push_back(index);
    if (list.size() <= 2 * record_count_[node] + 256) return;
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
    std::erase_if(list, [&](ResourceIndex i) {
        const Resource& r = table_[i];
        return !r.used_slot || std::none_of(r.peers.begin(), r.peers.end(),
                                            [&](const PeerRecord& peer) { return peer.node == node; });
    });
}

// Records of an earlier pass or life go; whoever has a stake in their resources looks again.
void LocksCore::valid_from(NodeIndex node, std::uint32_t stamp) {
    SDLM_ASSERT(stamp >= valid_from_[node]);
    if (stamp == valid_from_[node]) return;
    valid_from_[node] = stamp;
    std::vector<ResourceIndex> kept;
    kept.reserve(records_[node].size());
    for (ResourceIndex index : records_[node]) {
        Resource& r = table_[index];
        if (!r.used_slot) continue;
        auto peer = std::find_if(r.peers.begin(), r.peers.end(), [&](const PeerRecord& p) { return p.node == node; });
        if (peer == r.peers.end()) continue;
        if (counts(*peer)) {
            kept.push_back(index);
            continue;
        }
        if (peer->record.lvb.version > 0) r.changed_read = read_;
        see_tags(r, &peer->record, nullptr);
        *peer = std::move(r.peers.back());
        r.peers.pop_back();
        --record_count_[node];
        if (r.open || r.entry != no_entry) touch(r);
        else fading_.push_back(index);
    }
    records_[node] = std::move(kept);
}

std::uint64_t LocksCore::peer_ended(NodeIndex node, std::uint32_t next_stamp, const Ending& ending) {
    const std::uint64_t now_ordinal = ++ordinal_;
    // What it had handed on since it was read last is not in this view, perhaps.
    for (ResourceIndex index : pending_) table_[index].changed_read = read_;
    if (ending.how != End::clean) {
        for (ResourceIndex index : records_[node]) {
            Resource& r = table_[index];
            if (!r.used_slot) continue;
            for (const PeerRecord& peer : r.peers)
                if (peer.node == node && counts(peer)) inherit(r, peer.record, now_ordinal, ending);
        }
    }
    if (ending.how == End::dead_inexact) {
        inexact_death_ = now_ordinal;
        for (Resource& r : table_) {
            if (!r.used_slot || (!r.needs() && r.carried.version == 0)) continue;
            if (r.carried.version > 0 && r.carried.valid) {
                r.carried.valid = false;
                mark(r, Urgency::urgent, Instant{});
            }
            r.suspect_at = now_ordinal;
            touch(r);
        }
    }
    valid_from(node, next_stamp);
    return now_ordinal;
}

void LocksCore::flush() {
    std::array<std::byte, disk::record_bytes_max> buffer;
    for (ResourceIndex index : dirty_) {
        Resource& r = table_[index];
        r.dirty = Urgency::none;
        const LockRecord record = make_record(r);
        if (!r.needs()) r.stake_write = 0;
        const bool flag = (record.phase != Phase::none || record.orphan_lvb) && r.flag_write == 0;
        const bool stake = r.needs() && r.stake_write == 0;
        if (r.entry != no_entry && record == r.published) {
            // A want withdrawn and made again before anything was written: what lies on the disk is its flag, too.
            if (flag || stake) flagged_.push_back(index);
            erase_if_unused(r);
            continue;
        }
        if (r.entry == no_entry && record.gone()) {
            erase_if_unused(r);
            continue;
        }
        const std::size_t bytes = disk::encode(r.key, record, buffer, 0);
        if (r.entry == no_entry) {
            r.entry = log_.add();
            ++entries_;
        }
        if (record.gone()) {
            log_.remove(r.entry, std::span(buffer).first(bytes));
            r.entry = no_entry;
            --entries_;
            erase_if_unused(r);
            continue;
        }
        log_.update(r.entry, std::span(buffer).first(bytes));
        r.published = record;
        if (flag || stake) flagged_.push_back(index);
    }
    dirty_.clear();
    urgency_ = Urgency::none;
    soon_at_ = never;
}

void LocksCore::composed(std::uint64_t write_ordinal) {
    std::vector<ResourceIndex> left;
    for (ResourceIndex index : flagged_) {
        Resource& r = table_[index];
        if (!r.used_slot || r.entry == no_entry) continue;
        if (log_.pending(r.entry)) left.push_back(index);      // did not fit: goes with the next write
        else {
            if (r.flag_write == 0 && (r.published.phase == r.phase || r.orphan())) r.flag_write = write_ordinal;
            if (r.stake_write == 0 && r.needs()) r.stake_write = write_ordinal;
        }
    }
    flagged_ = std::move(left);
}

bool LocksCore::waits_for_read(std::uint64_t writes_done, std::uint64_t read_view) const {
    for (ResourceIndex index : pending_) {
        const Resource& r = table_[index];
        if (r.flag_write != 0 && r.flag_write <= writes_done && r.flag_write > read_view) return true;
        if (r.settling && r.changed_read == read_) return true;
    }
    return false;
}

bool LocksCore::waiting(std::uint64_t writes_done) const {
    return std::any_of(pending_.begin(), pending_.end(), [&](ResourceIndex index) {
        return table_[index].flag_write != 0 && table_[index].flag_write <= writes_done;
    });
}

Instant LocksCore::deadline() const {
    Instant first = never;
    for (ResourceIndex index : pending_) first = earlier(first, table_[index].deadline);
    return first;
}

void LocksCore::evaluate_pending() {
    for (ResourceIndex index : pending_) touch(table_[index]);
}

bool LocksCore::nobody_needs(const Resource& r) const {
    return !r.open && r.entry == no_entry && r.peers.empty() && r.carried.version == 0 && r.dirty == Urgency::none;
}

// A dead node may leave many thousands behind: grants do not wait until all of them are cleared away.
void LocksCore::fade() {
    constexpr std::size_t at_a_time = 1000;
    for (std::size_t i = 0; i < at_a_time && !fading_.empty(); ++i) {
        Resource& r = table_[fading_.back()];
        fading_.pop_back();
        if (r.used_slot) erase_if_unused(r);
    }
}

bool LocksCore::evaluate_touched(Instant now) {
    if (touched_.empty()) {
        fade();
        return false;
    }
    std::vector<ResourceIndex> work;
    work.swap(touched_);
    for (ResourceIndex index : work) {
        Resource& r = table_[index];
        r.touched = false;
        if (!r.used_slot) continue;
        if (nobody_needs(r)) fading_.push_back(index);
        else evaluate(r, now);
    }
    std::erase_if(pending_, [this](ResourceIndex index) {
        Resource& r = table_[index];
        if (r.used_slot && (r.phase != Phase::none || r.orphan() || r.adopting || r.lapsed)) return false;
        r.listed = false;
        return true;
    });
    for (ResourceIndex index : work)
        if (table_[index].used_slot && !nobody_needs(table_[index])) erase_if_unused(table_[index]);
    return true;
}

void LocksCore::release_all(Instant now) {
    for (Resource& r : table_)
        if (r.used_slot && r.open) close(make_handle(r.self, r.handle_tag), now);
}

void LocksCore::drop_orphans() {
    for (Resource& r : table_) {
        if (!r.used_slot || r.open) continue;
        r.carried = Lvb{};
        if (r.entry != no_entry) mark(r, Urgency::urgent, Instant{});
    }
}

}  // namespace sdlm::locks
