// SPDX-License-Identifier: LGPL-2.1-or-later
// Unlock, cancel, purge, owners that go, the end of the lease.
#include <algorithm>
#include <cerrno>

#include "locks/dlm/lockspace_impl.hpp"

namespace sdlm::dlm {

using Impl = Lockspace::Impl;
using locks::writes_lvb;

namespace {
UnlockResult failed(std::int32_t error) { return {.error = error, .completes = false}; }

void replace_given(Cookies& of_lock, const Cookies& given) {
    if (given.ast != 0) of_lock.ast = given.ast;
    if (given.arg != 0) of_lock.arg = given.arg;
    if (given.lksb != 0) of_lock.lksb = given.lksb;
}
}  // namespace

UnlockResult Lockspace::unlock(const UnlockCall& call, Instant now) {
    Impl& im = *impl_;
    im.tick(now);
    if (im.lost || !im.open_owner(call.owner)) return failed(ENOTCONN);
    if (call.id == no_lock) return failed(EINVAL);
    Lock* l = im.find_own(call.owner, call.id);
    if (l == nullptr) return failed(ENOENT);
    const bool cancels = (call.flags & lkf::cancel) != 0;
    if ((call.flags & ~lkf::unlock_all) != 0 || (cancels && (call.flags & lkf::forceunlock) != 0))
        return failed(EINVAL);
    if (cancels) {
        if (!l->busy) return {.error = 0, .completes = false};
        replace_given(l->cookies, call.cookies);
        im.cancel(*l, status_cancel);
        return {.error = 0, .completes = true};
    }
    replace_given(l->cookies, call.cookies);
    Resource& r = *l->resource;
    if (l->has_granted && writes_lvb(l->granted)) {
        if ((call.flags & lkf::ivvalblk) != 0) im.invalidate(*l);
        else if ((call.flags & lkf::valblk) != 0 && call.has_lvb) im.write_value(r, call.lvb, true);
    }
    im.withdraw(*l);
    l->sb_flags = 0;
    im.complete(*l, status_unlock);
    im.remove(*l);
    im.scan(r);
    im.settle(r);
    return {.error = 0, .completes = true};
}

UnlockResult Lockspace::deadlock_cancel(OwnerId owner, LockId id, std::uint32_t flags, Instant now) {
    Impl& im = *impl_;
    im.tick(now);
    if (im.lost || !im.open_owner(owner)) return failed(ENOTCONN);
    if (id == no_lock) return failed(EINVAL);
    Lock* l = im.find_own(owner, id);
    if (l == nullptr) return failed(ENOENT);
    if ((flags & ~lkf::unlock_all) != 0 || (flags & lkf::forceunlock) != 0) return failed(EINVAL);
    if (!l->busy) return {.error = 0, .completes = false};
    im.cancel(*l, EDEADLK);
    return {.error = 0, .completes = true};
}

void Impl::withdraw(Lock& l) {
    Resource& r = *l.resource;
    undefer(r, l);
    if (l.place == Place::converting) {
        unplace(r, l);
        place(r, l, Place::granted);
    }
    if (l.place == Place::waiting) unplace(r, l);
    if (r.asking == &l) r.asking = nullptr;
    if (r.reserve == &l) r.reserve = nullptr;
    if (!r.due.empty()) std::erase(r.due, &l);
    l.busy = false;
    l.node_refused = l.node_refused_alt = l.node_granted = l.due_other = false;
    l.since = now;
    set_timeout(l, never);
    set_patience(l, never);
}

void Impl::remove(Lock& l) {
    Resource& r = *l.resource;
    SDLM_ASSERT(!l.busy);
    unplace(r, l);
    if (l.has_granted) r.uncount_mode(l.granted);
    --r.locks;
    free_lock(l);
}

void Impl::cancel(Lock& l, std::int32_t status) {
    Resource& r = *l.resource;
    withdraw(l);
    complete(l, status);
    if (!l.has_granted) remove(l);
    scan(r);
    settle(r);
}

// Somebody who held it for writing is gone: nobody knows what the value was to become.
void Impl::invalidate(Lock& l) {
    bool valid = true;
    const LvbBytes bytes = value(*l.resource, valid);
    write_value(*l.resource, bytes, false);
}

void Impl::make_orphan(Lock& l) {
    owners[l.owner].locks.remove(l);
    l.owner = no_owner;
    l.sequence = ++sequence;
    owners[no_owner].locks.push_back(l);
}

// First everything that waits, so that nothing is granted to whoever goes.
void Impl::drop(const std::vector<Lock*>& locks, Persistent persistent) {
    std::vector<Resource*> touched;
    std::vector<Lock*> granted;
    for (Lock* l : locks) {
        touched.push_back(l->resource);
        if (l->busy) withdraw(*l);
        if (l->has_granted) granted.push_back(l);
        else remove(*l);
    }
    for (Lock* l : granted) {
        if (persistent == Persistent::becomes_orphan && l->has(lkf::persistent)) {
            make_orphan(*l);
            continue;
        }
        if (!lost && writes_lvb(l->granted)) invalidate(*l);
        remove(*l);
    }
    if (lost) return;
    std::vector<Resource*> sorted = touched;
    std::sort(sorted.begin(), sorted.end());
    std::vector<bool> done(sorted.size());
    for (Resource* r : touched) {
        const auto at = static_cast<std::size_t>(std::lower_bound(sorted.begin(), sorted.end(), r) - sorted.begin());
        if (done[at]) continue;
        done[at] = true;
        scan(*r);
        settle(*r);
    }
}

void Lockspace::remove_owner(OwnerId owner) {
    Impl& im = *impl_;
    SDLM_ASSERT(im.open_owner(owner));
    Impl::Owner& gone = im.owners[owner];
    while (gone.reserved.first() != nullptr) im.free_lock(*gone.reserved.first());
    std::vector<Lock*> locks;
    for (Lock* l = gone.locks.first(); l != nullptr; l = l->owner_next) locks.push_back(l);
    im.drop(locks, Impl::Persistent::becomes_orphan);
    im.owners[owner] = {};
    im.free_owners.push_back(owner);
}

std::int32_t Lockspace::purge(const PurgeCall& call) {
    Impl& im = *impl_;
    if (im.lost || !im.open_owner(call.owner)) return ENOTCONN;
    if (call.node != 0 && call.node != im.node_id) return ENOBUFS;
    if (call.pid != 0 && call.pid == call.tid) {
        std::vector<Lock*> locks;
        for (Lock* l = im.owners[call.owner].locks.first(); l != nullptr; l = l->owner_next) locks.push_back(l);
        im.drop(locks, Impl::Persistent::goes);
    } else {
        im.purge_orphans(call.pid);
    }
    return 0;
}

void Impl::purge_orphans(std::uint32_t pid) {
    std::vector<Lock*> locks;
    for (Lock* l = owners[no_owner].locks.first(); l != nullptr; l = l->owner_next)
        if (pid == 0 || l->tid == pid) locks.push_back(l);
    drop(locks, Persistent::goes);
}

void Impl::lose() {
    if (lost) return;
    lost = true;
    for (Lock& l : table) {
        if (l.resource == nullptr || !l.busy) continue;
        withdraw(l);
        complete(l, EIO);
        if (!l.has_granted) remove(l);
    }
    deadlines.clear();
}

}  // namespace sdlm::dlm
