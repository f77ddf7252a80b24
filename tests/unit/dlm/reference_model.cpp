// SPDX-License-Identifier: LGPL-2.1-or-later
#include "reference_model.hpp"

#include <algorithm>
#include <cerrno>

namespace sdlm::dlm::test {

namespace {
constexpr int NL = 0, CW = 2, PR = 3, PW = 4, EX = 5;
// Rows and columns NL CR CW PR PW EX: may both be granted?
constexpr bool together[6][6] = {{1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 0}, {1, 1, 1, 0, 0, 0},
                                 {1, 1, 0, 1, 0, 0}, {1, 1, 0, 0, 0, 0}, {1, 0, 0, 0, 0, 0}};
// Old mode (row) to new mode (column): r to the caller's buffer, w from it, - nothing.
constexpr char moves[6][7] = {"rrrrrr", "-rrrrr", "--rrrr", "---rrr", "wwwwwr", "wwwwww"};
// Old mode (row) to new mode (column): allowed with QUECVT.
constexpr char upward[6][7] = {"-uuuuu", "--uuuu", "---uuu", "--u-uu", "-----u", "------"};

bool has(std::uint32_t flags, std::uint32_t flag) { return (flags & flag) != 0; }
void take(std::vector<ReferenceModel::Id>& from, ReferenceModel::Id id) { std::erase(from, id); }
}  // namespace

ReferenceModel::Lock* ReferenceModel::find(OwnerId owner, Id id) {
    const auto found = locks_.find(id);
    if (found == locks_.end() || found->second.owner == 0) return nullptr;
    return found->second.process == process_of_.at(owner) ? &found->second : nullptr;
}

void ReferenceModel::completion(const Lock& l, int status, bool dead) {
    Event e;
    e.id = l.id;
    e.owner = l.owner;
    e.status = status;
    e.sb_flags = l.sb_flags;
    e.mode = l.granted;
    e.dead = dead;
    e.cookies = l.cookies;
    events.push_back(e);
}

void ReferenceModel::tell(Lock& l, int mode) {
    if (l.cookies.bast == 0 || l.owner == 0) return;
    l.told = mode;
    Event e;
    e.blocking = true;
    e.id = l.id;
    e.owner = l.owner;
    e.mode = mode;
    e.cookies = l.cookies;
    events.push_back(e);
}

void ReferenceModel::tell_all(Resource& r, const std::vector<Id>& whom, Id self, int mode) {
    (void)r;
    for (const Id id : whom) {
        Lock& l = locks_.at(id);
        if (id == self || together[l.granted][mode]) continue;
        const bool inverted = (l.granted == PR && mode == CW) || (l.granted == CW && mode == PR);
        if (l.told < mode || (inverted && l.told < EX)) tell(l, mode);
    }
}

bool ReferenceModel::fits(const Resource& r, const Lock& l, int mode) const {
    for (const auto* queue : {&r.granted, &r.converting})
        for (const Id id : *queue)
            if (id != l.id && !together[locks_.at(id).granted][mode]) return false;
    return true;
}

bool ReferenceModel::may(const Resource& r, const Lock& l, int mode, bool arriving) const {
    const bool converts = l.granted >= 0;
    if (!converts && has(l.flags, lkf::expedite)) return true;
    if (!fits(r, l, mode)) return false;
    if (converts) {
        if (arriving) return !has(l.flags, lkf::quecvt) || r.converting.empty();
        return has(l.flags, lkf::noorder) || r.converting.front() == l.id;
    }
    if (has(l.flags, lkf::noorder)) return true;
    if (!r.converting.empty()) return false;
    return arriving ? r.waiting.empty() : r.waiting.front() == l.id;
}

bool ReferenceModel::deadlocked(const Resource& r, const Lock& l, bool arriving) const {
    bool after = false;
    for (const Id id : r.converting) {
        if (id == l.id) {
            after = true;
            continue;
        }
        const Lock& c = locks_.at(id);
        const bool i_block = !together[l.granted][c.wanted];
        const bool it_blocks = !together[c.granted][l.wanted];
        if (i_block && (arriving || !after || it_blocks)) return true;
    }
    return false;
}

void ReferenceModel::end_operation(Lock& l) {
    l.wanted = -1;
    l.deadline = never;
}

void ReferenceModel::grant(Resource& r, Lock& l, int mode) {
    const char move = l.granted < 0 ? 'r' : moves[l.granted][mode];
    const bool marking = move == 'w' && has(l.flags, lkf::ivvalblk);
    if (marking) {
        r.valid = false;
    } else if (move == 'w' && has(l.flags, lkf::valblk)) {
        r.value = l.buffer;
        r.valid = true;
    }
    take(r.granted, l.id);
    take(r.converting, l.id);
    take(r.waiting, l.id);
    r.granted.insert(r.granted.begin(), l.id);
    l.granted = mode;
    l.told = -1;
    end_operation(l);
    if (!r.valid && !marking) l.sb_flags |= 2;
    completion(l, 0, false);
    if (move == 'r' && has(l.flags, lkf::valblk)) {
        events.back().has_lvb = true;
        events.back().lvb = r.value;
    }
}

bool ReferenceModel::try_other(Resource& r, Lock& l, bool arriving) {
    int other = -1;
    if (has(l.flags, lkf::altpr) && l.wanted != PR) other = PR;
    else if (has(l.flags, lkf::altcw) && l.wanted != CW) other = CW;
    if (other < 0 || !may(r, l, other, arriving)) return false;
    l.sb_flags |= 4;
    grant(r, l, other);
    return true;
}

void ReferenceModel::queue(Resource& r, Lock& l) {
    take(r.granted, l.id);
    std::vector<Id>& q = l.granted >= 0 ? r.converting : r.waiting;
    q.insert(has(l.flags, lkf::headque) ? q.begin() : q.end(), l.id);
    tell_all(r, r.granted, l.id, l.wanted);
}

void ReferenceModel::arrive(Resource& r, Lock& l) {
    const bool converts = l.granted >= 0;
    const bool noqueue = has(l.flags, lkf::noqueue);
    if (may(r, l, l.wanted, true)) {
        grant(r, l, l.wanted);
        if (converts) scan(r);
        return;
    }
    if (converts && !noqueue && deadlocked(r, l, true)) {
        if (has(l.flags, lkf::convdeadlk)) {
            l.granted = NL;
            l.sb_flags |= 1;
            scan_converting(r);
            if (!may(r, l, l.wanted, true)) return queue(r, l);
            grant(r, l, l.wanted);
            return scan(r);
        }
        if (has(l.flags, lkf::nodlckwt)) return queue(r, l);
        end_operation(l);
        return completion(l, EDEADLK, false);
    }
    if (try_other(r, l, true)) {
        if (converts) scan(r);
        return;
    }
    if (!noqueue) return queue(r, l);
    const int wanted = l.wanted;
    const Id id = l.id;
    const bool tells = has(l.flags, lkf::noqueuebast);
    end_operation(l);
    completion(l, EAGAIN, !converts);
    if (!converts) erase(id);
    if (!tells || !resources_.contains(name_of_.at(id))) return;
    tell_all(r, r.granted, id, wanted);
    tell_all(r, r.converting, id, wanted);
}

void ReferenceModel::scan_converting(Resource& r) {
    for (std::size_t i = 0; i < r.converting.size();) {
        Lock& l = locks_.at(r.converting[i]);
        bool granted = may(r, l, l.wanted, false);
        if (granted) {
            grant(r, l, l.wanted);
        } else if (deadlocked(r, l, false)) {
            if (has(l.flags, lkf::nodlckwt) && l.told < l.wanted) tell(l, l.wanted);
        } else {
            granted = try_other(r, l, false);
        }
        i = granted ? 0 : i + 1;
    }
}

void ReferenceModel::scan(Resource& r) {
    scan_converting(r);
    const std::vector<Id> waiting = r.waiting;
    for (const Id id : waiting) {
        Lock& l = locks_.at(id);
        if (may(r, l, l.wanted, false)) grant(r, l, l.wanted);
        else try_other(r, l, false);
    }
    int highest = -1;
    bool cw = false;
    for (const auto* q : {&r.converting, &r.waiting}) {
        for (const Id id : *q) {
            highest = std::max(highest, locks_.at(id).wanted);
            cw = cw || locks_.at(id).wanted == CW;
        }
    }
    if (highest < 0) return;
    for (const Id id : r.granted) {
        Lock& l = locks_.at(id);
        const bool inverted = cw && l.granted == PR;
        if ((inverted && l.told < EX) || (l.told < highest && !together[l.granted][highest]))
            tell(l, inverted && highest == PR ? CW : highest);
    }
}

ReferenceModel::Answer ReferenceModel::lock(const LockCall& call, Id id, Instant now) {
    if (call.cookies.ast == 0 || call.cookies.lksb == 0 || call.mode > 5) return {EINVAL, 0, false};
    const std::uint32_t f = call.flags;
    const bool convert = has(f, lkf::convert);
    const int mode = static_cast<int>(call.mode);
    Lock* l = convert ? find(call.owner, id) : nullptr;
    if (convert && l == nullptr) return {ENOENT, 0, false};
    if (!convert && call.name.size() > 64) return {EINVAL, 0, false};
    if (!convert && has(f, lkf::orphan)) {
        Lock* match = nullptr;
        bool other = false;
        for (auto& [orphan_id, o] : locks_) {
            if (o.owner != 0 || name_of_.at(orphan_id) != call.name) continue;
            if (o.granted != mode) other = true;
            else if (match == nullptr || o.orphaned < match->orphaned) match = &o;
        }
        if (match == nullptr) return {other ? EAGAIN : ENOENT, 0, false};
        match->owner = call.owner;
        match->owned = ++changes_of_owner_;
        match->process = process_of_.at(call.owner);
        match->tid = call.tid;
        match->flags = f;
        match->cookies = call.cookies;
        match->told = -1;
        return {0, match->id, false};
    }
    const bool bad =
        has(f, lkf::cancel) || (has(f, lkf::quecvt) && !convert) || (has(f, lkf::convdeadlk) && !convert) ||
        (has(f, lkf::convdeadlk) && has(f, lkf::noqueue)) ||
        (has(f, lkf::expedite) && (convert || has(f, lkf::quecvt) || has(f, lkf::noqueue) || mode != NL)) ||
        (has(f, lkf::valblk) && !call.has_lvb);
    if (bad) return {EINVAL, 0, false};
    if (convert && has(f, lkf::quecvt) && (l->granted < 0 || upward[l->granted][mode] != 'u'))
        return {EINVAL, 0, false};
    if (convert && busy(*l)) return {EBUSY, 0, false};
    if (!convert) {
        l = &locks_[++last_id_];
        l->id = last_id_;
        l->owner = call.owner;
        l->owned = ++changes_of_owner_;
        l->process = process_of_.at(call.owner);
        name_of_[l->id] = call.name;
        resources_[std::string(call.name)];
    }
    l->wanted = mode;
    l->flags = f;
    l->tid = call.tid;
    l->cookies = call.cookies;
    l->sb_flags = 0;
    if (call.has_lvb) l->buffer = call.lvb;
    if (has(f, lkf::timeout) && call.timeout_cs > 0) l->deadline = now + milliseconds(10) * call.timeout_cs;
    const Id result = l->id;
    arrive(of(result), *l);
    return {0, result, true};
}

void ReferenceModel::erase(Id id) {
    const std::string name = name_of_.at(id);
    Resource& r = resources_.at(name);
    take(r.granted, id);
    take(r.converting, id);
    take(r.waiting, id);
    locks_.erase(id);
    for (const auto& [other, l] : locks_)
        if (name_of_.at(other) == name) return;
    resources_.erase(name);              // and its value with it
}

ReferenceModel::Answer ReferenceModel::unlock(const UnlockCall& call, Id id) {
    if (call.id == 0) return {EINVAL, 0, false};
    Lock* l = find(call.owner, id);
    if (l == nullptr) return {ENOENT, 0, false};
    const std::uint32_t known = lkf::cancel | lkf::valblk | lkf::ivvalblk | lkf::forceunlock;
    if ((call.flags & ~known) != 0) return {EINVAL, 0, false};
    if (has(call.flags, lkf::cancel) && has(call.flags, lkf::forceunlock)) return {EINVAL, 0, false};
    if (has(call.flags, lkf::cancel) && !busy(*l)) return {0, 0, false};
    if (call.cookies.ast != 0) l->cookies.ast = call.cookies.ast;
    if (call.cookies.arg != 0) l->cookies.arg = call.cookies.arg;
    if (call.cookies.lksb != 0) l->cookies.lksb = call.cookies.lksb;
    if (has(call.flags, lkf::cancel)) {
        cancel(*l, status_cancel);
        return {0, 0, true};
    }
    Resource& r = of(id);
    const std::string name = name_of_.at(id);
    if (l->granted >= PW && has(call.flags, lkf::ivvalblk)) {
        r.valid = false;
    } else if (l->granted >= PW && has(call.flags, lkf::valblk) && call.has_lvb) {
        r.value = call.lvb;
        r.valid = true;
    }
    l->sb_flags = 0;
    completion(*l, status_unlock, true);
    erase(id);
    if (resources_.contains(name)) scan(r);
    return {0, 0, true};
}

ReferenceModel::Answer ReferenceModel::deadlock_cancel(OwnerId owner, Id id) {
    Lock* l = find(owner, id);
    if (l == nullptr) return {ENOENT, 0, false};
    if (!busy(*l)) return {0, 0, false};
    cancel(*l, EDEADLK);
    return {0, 0, true};
}

void ReferenceModel::cancel(Lock& l, int status) {
    const Id id = l.id;
    const std::string name = name_of_.at(id);
    Resource& r = of(id);
    const bool is_new = l.granted < 0;
    end_operation(l);
    completion(l, status, is_new);
    if (is_new) {
        erase(id);
    } else {
        take(r.converting, id);
        take(r.granted, id);
        r.granted.insert(r.granted.begin(), id);
    }
    if (resources_.contains(name)) scan(r);
}

void ReferenceModel::expire(Instant now) {
    for (;;) {
        Lock* first = nullptr;
        for (auto& [id, l] : locks_)
            if (l.deadline <= now && (first == nullptr || l.deadline < first->deadline)) first = &l;
        if (first == nullptr) return;
        cancel(*first, ETIMEDOUT);
    }
}

void ReferenceModel::drop(const std::vector<Id>& ids, bool orphans) {
    std::vector<std::string> names;
    std::vector<Id> granted;
    for (const Id id : ids) {
        Lock& l = locks_.at(id);
        Resource& r = of(id);
        if (std::find(names.begin(), names.end(), name_of_.at(id)) == names.end()) names.push_back(name_of_.at(id));
        if (std::find(r.converting.begin(), r.converting.end(), id) != r.converting.end()) {
            take(r.converting, id);
            r.granted.insert(r.granted.begin(), id);
        }
        end_operation(l);
        if (l.granted >= 0) granted.push_back(id);
        else erase(id);
    }
    for (const Id id : granted) {
        Lock& l = locks_.at(id);
        if (orphans && has(l.flags, lkf::persistent)) {
            l.owner = 0;
            l.orphaned = l.owned = ++changes_of_owner_;
            continue;
        }
        if (l.granted >= PW) of(id).valid = false;
        erase(id);
    }
    for (const std::string& name : names)
        if (resources_.contains(name)) scan(resources_.at(name));
}

std::vector<ReferenceModel::Id> ReferenceModel::owned_by(OwnerId owner) const {
    std::vector<Id> ids;
    for (const auto& [id, l] : locks_)
        if (l.owner == owner) ids.push_back(id);
    std::sort(ids.begin(), ids.end(), [this](Id a, Id b) { return locks_.at(a).owned < locks_.at(b).owned; });
    return ids;
}

void ReferenceModel::remove_owner(OwnerId owner) {
    drop(owned_by(owner), true);
    process_of_.erase(owner);
}

void ReferenceModel::purge(const PurgeCall& call) {
    const bool own = call.pid == call.tid && call.pid != 0;
    std::vector<Id> ids = owned_by(own ? call.owner : 0);
    if (!own && call.pid != 0) std::erase_if(ids, [&](Id id) { return locks_.at(id).tid != call.pid; });
    drop(ids, false);
}

}  // namespace sdlm::dlm::test
