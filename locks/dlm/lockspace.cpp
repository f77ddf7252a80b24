// SPDX-License-Identifier: LGPL-2.1-or-later
// Owners, ids, resources and their idle list, timers, rows.
#include "locks/dlm/lockspace.hpp"

#include <algorithm>
#include <cerrno>

#include "locks/dlm/lockspace_impl.hpp"

namespace sdlm::dlm {

using Impl = Lockspace::Impl;

Lockspace::Lockspace(locks::LockPort& port, std::string name, std::uint32_t node_id, Duration patience)
    : impl_(std::make_unique<Impl>(*this, port, std::move(name), node_id, patience)) {}
Lockspace::~Lockspace() = default;

Result<void> Lockspace::join() {
    Impl& im = *impl_;
    SDLM_ASSERT(!im.joined);
    const auto joined = im.port.join(im.name, *this);
    im.joined = joined.has_value();
    return joined;
}

void Lockspace::leave() {
    Impl& im = *impl_;
    if (!im.joined) return;
    im.joined = false;
    im.lost = true;
    im.callbacks.clear();
    for (auto& [resource_name, r] : im.resources) im.port.close(r->handle);
    im.by_handle.clear();
    im.port.leave(im.name);
}

void Lockspace::search_deadlocks() { impl_->searches = true; }
const std::string& Lockspace::name() const { return impl_->name; }
std::vector<Callback>& Lockspace::callbacks() { return impl_->callbacks; }
bool Lockspace::lost() const { return impl_->lost; }
bool Lockspace::has_locks() const { return impl_->lock_count > 0; }

OwnerId Lockspace::add_owner(std::uint32_t process) {
    Impl& im = *impl_;
    OwnerId id;
    if (im.free_owners.empty()) {
        id = static_cast<OwnerId>(im.owners.size());
        im.owners.emplace_back();
    } else {
        id = im.free_owners.back();
        im.free_owners.pop_back();
    }
    im.owners[id] = {};
    im.owners[id].open = true;
    im.owners[id].process = process;
    return id;
}

std::size_t Lockspace::reserve_ids(OwnerId owner, std::size_t count, std::vector<LockId>& out) {
    Impl& im = *impl_;
    if (im.lost || !im.open_owner(owner)) return 0;
    std::size_t made = 0;
    for (; made < count && im.owners[owner].reserved_count < reserved_ids_max; ++made) {
        Lock* l = im.make_lock(owner, no_lock);
        if (l == nullptr) break;
        im.owners[owner].locks.remove(*l);
        im.owners[owner].reserved.push_back(*l);
        ++im.owners[owner].reserved_count;
        l->place = Place::reserved;
        --im.lock_count;
        out.push_back(l->id);
    }
    return made;
}

// `wish`: a reserved id of the owner, or no_lock for any. Null: none is left.
Lock* Impl::make_lock(OwnerId owner, LockId wish) {
    Lock* l = nullptr;
    if (wish != no_lock) {
        l = &table[wish - 1];
        owners[owner].reserved.remove(*l);
        --owners[owner].reserved_count;
        l->place = Place::none;
    } else if (!free_ids.empty()) {
        l = &table[free_ids.back() - 1];
        free_ids.pop_back();
    } else if (table.size() < locks_max) {
        l = &table.emplace_back();
        l->id = static_cast<LockId>(table.size());
    } else {
        return nullptr;
    }
    l->owner = owner;
    l->process = owners[owner].process;
    owners[owner].locks.push_back(*l);
    ++lock_count;
    return l;
}

void Impl::free_lock(Lock& l) {
    if (l.place == Place::reserved) {
        owners[l.owner].reserved.remove(l);
        --owners[l.owner].reserved_count;
    } else {
        owners[l.owner].locks.remove(l);
        --lock_count;
    }
    set_timeout(l, never);
    set_patience(l, never);
    disarm_search(l);
    const LockId id = l.id;
    l = Lock{};
    l.id = id;
    free_ids.push_back(id);
}

// Handles of one program may use each other's locks; foreign and orphaned ones do not exist for it.
Lock* Impl::find_own(OwnerId owner, LockId id) {
    if (id == no_lock || id > table.size()) return nullptr;
    Lock& l = table[id - 1];
    if (l.resource == nullptr || l.orphan() || l.process != owners[owner].process) return nullptr;
    return &l;
}

std::int32_t Impl::open_resource(std::string_view resource_name, Resource*& out) {
    if (const auto found = resources.find(resource_name); found != resources.end()) {
        out = found->second.get();
        if (out->idle) unlink_idle(*out);
        return 0;
    }
    auto r = std::make_unique<Resource>();
    r->name = resource_name;
    if (const std::int32_t error = open_handle(*r)) return error;
    out = r.get();
    resources.emplace(out->name, std::move(r));
    return 0;
}

std::int32_t Impl::open_handle(Resource& r) {
    for (int attempt = 0;; ++attempt) {
        const auto handle = port.open({name, r.name});
        if (handle) {
            r.handle = *handle;
            by_handle.emplace(r.handle, &r);
            return 0;
        }
        if (handle.error().code == Errc::fenced) return ENOTCONN;
        if (handle.error().code != Errc::no_space) return EINVAL;
        if (attempt > 0 || idle_first == nullptr) return ENOMEM;
        // What is only cached gives way.
        for (int i = 0; i < 64 && idle_first != nullptr; ++i) drop_resource(*idle_first);
    }
}

void Impl::drop_resource(Resource& r) {
    if (r.idle) unlink_idle(r);
    port.close(r.handle);
    by_handle.erase(r.handle);
    resources.erase(resources.find(std::string_view(r.name)));
}

// The last lock is gone. A resource without a value stays for a while, with the mode that the node has cached. One with
// a value goes, so that the value goes, too.
void Impl::retire(Resource& r) {
    SDLM_ASSERT(r.undecided.empty());
    r.asking = r.reserve = nullptr;
    r.scan_owed = false;
    r.due.clear();
    const locks::Lvb& lvb = port.lvb(r.handle);
    if (lvb.version > 0 || !lvb.valid) return drop_resource(r);
    if (!r.idle) link_idle(r);
    state(r);
    if (idle_count > idle_resources_max) drop_resource(*idle_first);
}

void Impl::link_idle(Resource& r) {
    r.idle = true;
    r.idle_previous = idle_last;
    r.idle_next = nullptr;
    (idle_last != nullptr ? idle_last->idle_next : idle_first) = &r;
    idle_last = &r;
    ++idle_count;
}

void Impl::unlink_idle(Resource& r) {
    r.idle = false;
    (r.idle_previous != nullptr ? r.idle_previous->idle_next : idle_first) = r.idle_next;
    (r.idle_next != nullptr ? r.idle_next->idle_previous : idle_last) = r.idle_previous;
    r.idle_previous = r.idle_next = nullptr;
    --idle_count;
}

void Impl::set_timer(Lock& l, Instant Lock::*timer, Timer kind, Instant at) {
    if (l.*timer == at) return;
    if (l.*timer != never) deadlines.erase({l.*timer, l.id, kind});
    l.*timer = at;
    if (at != never) deadlines.insert({at, l.id, kind});
}
void Impl::set_timeout(Lock& l, Instant at) { set_timer(l, &Lock::timeout, Timer::timeout, at); }
void Impl::set_patience(Lock& l, Instant at) { set_timer(l, &Lock::patience, Timer::patience, at); }

void Lockspace::expire(Instant now) {
    impl_->tick(now);
    if (!impl_->lost) impl_->expire();
}
Instant Lockspace::next_deadline() const {
    const Instant first = impl_->deadlines.empty() ? never : std::get<Instant>(*impl_->deadlines.begin());
    return impl_->searching == 0 ? first : earlier(first, impl_->search_at);
}

void Impl::expire() {
    while (!deadlines.empty() && std::get<Instant>(*deadlines.begin()) <= now) {
        const auto [at, id, kind] = *deadlines.begin();
        deadlines.erase(deadlines.begin());
        Lock& l = table[id - 1];
        Resource& r = *l.resource;
        if (kind == Timer::timeout) {
            cancel(l, ETIMEDOUT);
            continue;
        }
        // It has waited long enough for the answer to another operation: take that as refused.
        if (!l.undecided) scan(r);
        else if (verdict(r, l, l.wanted, When::arrival) == Verdict::behind) l.node_refused = l.node_refused_alt = true;
        settle(r);
    }
    if (searching > 0 && search_at <= now) search();
}

LockspaceCounts Lockspace::counts() const {
    const Impl& im = *impl_;
    LockspaceCounts c;
    c.owners = im.owners.size() - 1 - im.free_owners.size();
    c.locks = im.lock_count;
    c.resources = im.resources.size() - im.idle_count;
    c.idle_resources = im.idle_count;
    for (const Lock& l : im.table) {
        if (l.resource == nullptr) continue;
        c.waiting += l.busy ? 1 : 0;
        c.orphans += l.orphan() ? 1 : 0;
    }
    return c;
}

LockRow Impl::row(const Lock& l, Instant at) const {
    LockRow row;
    row.id = l.id;
    row.pid = l.tid;
    row.xid = l.xid;
    row.flags = l.flags;
    row.status = !l.busy ? 2 : l.has_granted ? 3 : 1;
    if (l.has_granted) row.granted = static_cast<int>(l.granted);
    if (l.busy) row.wanted = static_cast<int>(l.wanted);
    row.time_us = at > l.since ? static_cast<std::uint64_t>((at - l.since).ns / 1000) : 0;
    row.orphan = l.orphan();
    row.process = l.process;
    row.name = l.resource->name;
    return row;
}

std::vector<LockRow> Lockspace::lock_rows(Instant now) const {
    std::vector<LockRow> rows;
    for (const Lock& l : impl_->table)
        if (l.resource != nullptr) rows.push_back(impl_->row(l, now));
    return rows;
}

std::vector<ResourceRow> Lockspace::resource_rows(Instant now) const {
    std::vector<ResourceRow> rows;
    std::vector<const Resource*> in_order;
    for (const auto& [resource_name, r] : impl_->resources)
        if (r->locks > 0) in_order.push_back(r.get());
    std::sort(in_order.begin(), in_order.end(), [](const Resource* a, const Resource* b) { return a->name < b->name; });
    for (const Resource* r : in_order) {
        ResourceRow row;
        row.name = r->name;
        if (!impl_->lost) {
            row.lvb = impl_->value(*r, row.lvb_valid);
            row.lvb_version = impl_->port.lvb(r->handle).version;
            row.held = impl_->port.held(r->handle);
        }
        row.blocked = r->mark;
        for (const Lock* l = r->granted.first(); l != nullptr; l = l->next)
            (l->busy ? row.converting : row.granted).push_back(impl_->row(*l, now));
        for (const Lock* l = r->converting.first(); l != nullptr; l = l->next)
            row.converting.push_back(impl_->row(*l, now));
        for (const Lock* l = r->waiting.first(); l != nullptr; l = l->next) row.waiting.push_back(impl_->row(*l, now));
        for (const Lock* l : r->undecided)
            if (!l->has_granted) row.waiting.push_back(impl_->row(*l, now));
        rows.push_back(std::move(row));
    }
    return rows;
}

std::vector<WaiterRow> Lockspace::waiter_rows(Instant now) const {
    std::vector<WaiterRow> rows;
    for (const Lock& l : impl_->table) {
        if (l.resource == nullptr || l.resource->asking != &l) continue;
        const LockRow row = impl_->row(l, now);
        rows.push_back({l.id, l.has_granted, row.time_us, row.name});
    }
    return rows;
}

void Lockspace::granted(locks::Handle handle, Mode, const locks::Lvb&) {
    if (const auto found = impl_->by_handle.find(handle); found != impl_->by_handle.end() && !impl_->lost)
        impl_->node_granted(*found->second);
}
void Lockspace::refused(locks::Handle handle, locks::Refusal why) {
    if (const auto found = impl_->by_handle.find(handle); found != impl_->by_handle.end() && !impl_->lost)
        impl_->node_refused(*found->second, why);
}
void Lockspace::blocked(locks::Handle handle, Mode mode) {
    if (const auto found = impl_->by_handle.find(handle); found != impl_->by_handle.end() && !impl_->lost)
        impl_->node_blocked(*found->second, mode);
}
void Lockspace::lease_lost() { impl_->lose(); }

}  // namespace sdlm::dlm
