// SPDX-License-Identifier: LGPL-2.1-or-later
// New requests, conversions, adoptions.
#include <algorithm>
#include <cerrno>

#include "disk/base/limits.hpp"
#include "locks/dlm/lockspace_impl.hpp"

namespace sdlm::dlm {

using Impl = Lockspace::Impl;

namespace {
bool flags_valid(const LockCall& call) {
    const auto has = [&call](std::uint32_t flag) { return (call.flags & flag) != 0; };
    if (has(lkf::cancel)) return false;
    if (has(lkf::quecvt | lkf::convdeadlk) && !has(lkf::convert)) return false;
    if (has(lkf::convdeadlk) && has(lkf::noqueue)) return false;
    if (has(lkf::expedite) && (has(lkf::convert | lkf::quecvt | lkf::noqueue) || call.mode != 0)) return false;
    return !has(lkf::valblk) || call.has_lvb;
}

// Conversions that may wait for those queued before them (QUECVT).
bool upward(Mode from, Mode to) {
    if (from == Mode::PR && to == Mode::CW) return true;
    return to > from;
}

LockResult failed(std::int32_t error) { return {.error = error, .id = no_lock, .completes = false}; }
}  // namespace

LockResult Lockspace::lock(const LockCall& call, Instant now) {
    Impl& im = *impl_;
    im.tick(now);
    if (im.lost || !im.open_owner(call.owner)) return failed(ENOTCONN);
    if (call.cookies.ast == 0 || call.cookies.lksb == 0 || call.mode > 5) return failed(EINVAL);
    if ((call.flags & lkf::convert) != 0) return im.convert(call);
    if (call.name.size() > limits::resource_name_max) return failed(EINVAL);
    return (call.flags & lkf::orphan) != 0 ? im.adopt(call) : im.request(call);
}

void Impl::begin(Lock& l, const LockCall& call) {
    l.busy = true;
    l.wanted = static_cast<Mode>(call.mode);
    l.node_refused = l.node_refused_alt = l.node_granted = false;
    l.sb_flags = 0;
    l.flags = call.flags;
    l.tid = call.tid;
    l.xid = call.xid;
    l.sequence = ++sequence;
    l.cookies = call.cookies;
    l.since = now;
    l.asked_at = never;
    l.has_lvb = call.has_lvb;
    if (call.has_lvb) l.lvb = call.lvb;
    if (l.has(lkf::timeout) && call.timeout_cs > 0) set_timeout(l, now + milliseconds(10) * call.timeout_cs);
}

LockResult Impl::request(const LockCall& call) {
    if (!flags_valid(call)) return failed(EINVAL);
    if (call.id != no_lock) {
        const bool known = call.id <= table.size();
        if (!known || table[call.id - 1].place != Place::reserved || table[call.id - 1].owner != call.owner)
            return failed(EINVAL);
    } else if (free_ids.empty() && table.size() >= locks_max) {
        return failed(ENOMEM);
    }
    Resource* r = nullptr;
    if (const std::int32_t error = open_resource(call.name, r)) return failed(error);
    Lock* l = make_lock(call.owner, call.id);
    const LockId id = l->id;
    l->resource = r;
    ++r->locks;
    begin(*l, call);
    decide(*r, *l);
    settle(*r);
    return {.error = 0, .id = id, .completes = true};
}

LockResult Impl::convert(const LockCall& call) {
    Lock* l = find_own(call.owner, call.id);
    if (l == nullptr) return failed(ENOENT);
    if (!flags_valid(call)) return failed(EINVAL);
    const bool queues = (call.flags & lkf::quecvt) != 0;
    if (queues && (!l->has_granted || !upward(l->granted, static_cast<Mode>(call.mode)))) return failed(EINVAL);
    if (l->busy) return failed(EBUSY);
    Resource& r = *l->resource;
    begin(*l, call);
    decide(r, *l);
    settle(r);
    return {.error = 0, .id = call.id, .completes = true};
}

// Silent: no completion follows.
LockResult Impl::adopt(const LockCall& call) {
    const auto found = resources.find(call.name);
    Lock* l = nullptr;
    bool other_mode = false;
    for (Lock* g = found == resources.end() ? nullptr : found->second->granted.first(); g != nullptr; g = g->next) {
        if (!g->orphan()) continue;
        if (g->granted != static_cast<Mode>(call.mode)) other_mode = true;
        else if (l == nullptr || g->sequence < l->sequence) l = g;
    }
    if (l == nullptr) return failed(other_mode ? EAGAIN : ENOENT);
    owners[no_owner].locks.remove(*l);
    l->owner = call.owner;
    l->process = owners[call.owner].process;
    owners[call.owner].locks.push_back(*l);
    l->flags = call.flags;
    l->tid = call.tid;
    l->xid = call.xid;
    l->cookies = call.cookies;
    l->since = now;
    l->told = -1;
    return {.error = 0, .id = l->id, .completes = false};
}

void Impl::complete(Lock& l, std::int32_t status) {
    Callback c;
    c.kind = Callback::Kind::completion;
    c.mode = l.granted;
    c.sb_flags = l.sb_flags;
    c.dead = !l.has_granted || status == status_unlock;
    c.owner = l.owner;
    c.id = l.id;
    c.status = status;
    c.cookies = l.cookies;
    callbacks.push_back(c);
}

}  // namespace sdlm::dlm
