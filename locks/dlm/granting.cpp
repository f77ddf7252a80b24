// SPDX-License-Identifier: LGPL-2.1-or-later
// Who gets what inside the node: the queues' rules, blocking notices, conversion deadlocks.
#include <algorithm>
#include <cerrno>

#include "locks/dlm/lockspace_impl.hpp"

namespace sdlm::dlm {

using Impl = Lockspace::Impl;
using locks::compatible;
using locks::conflicts;
using locks::covers;

namespace {
bool pr_and_cw(Mode a, Mode b) { return (a == Mode::PR && b == Mode::CW) || (a == Mode::CW && b == Mode::PR); }
std::int8_t level(Mode m) { return static_cast<std::int8_t>(m); }
}  // namespace

bool Impl::in_order(const Resource& r, const Lock& l, When when) const {
    // Found to be its turn by a scan: whoever came to the head of the queue since then does not change that.
    if (when == When::queued && is_due(r, l) && still_open(l)) return true;
    if (l.has_granted) {
        if (when == When::arrival) return !l.has(lkf::quecvt) || r.converting.empty();
        return l.has(lkf::noorder) || r.converting.first() == &l;
    }
    if (l.has(lkf::noorder)) return true;
    if (!r.converting.empty()) return false;
    return when == When::arrival ? r.waiting.empty() : r.waiting.first() == &l;
}

bool Impl::still_open(const Lock& l) const { return l.asked_at == never || now < l.asked_at + patience; }

// An operation that came before, and that nothing local is against, waits for the nodes' answer: had it been there at
// once, this one would have met it granted.
bool Impl::after_undecided(const Resource& r, const Lock& l, Mode mode, When when) const {
    for (const Lock* u : r.undecided) {
        if (u == &l || u->sequence > l.sequence) continue;
        if (conflicts(mode, u->wanted)) return true;
    }
    if (when == When::queued || r.asking == nullptr || r.asking == &l || r.guess || r.asking->undecided) return false;
    return r.asking->sequence < l.sequence && conflicts(mode, r.asking->wanted) && still_open(*r.asking);
}

bool Impl::line_undecided(const Resource& r, const Lock& l) const {
    const Lock* head = !r.converting.empty() ? r.converting.first() : r.waiting.first();
    if (head == nullptr || head->sequence > l.sequence || !still_open(*head)) return false;
    return verdict(r, *head, head->wanted, When::queued) == Verdict::ask;
}

// Other nodes wait. New requests do not go before them. Conversions do, but not when it is time to hand over: when
// nothing that is granted here is in the waiters' way any more.
bool Impl::allowed(const Resource& r, const Lock& l, Mode mode) const {
    if (r.mark == Mode::NL || compatible(mode, r.mark) || l.node_granted) return true;
    if (l.has_granted) return conflicts(r.used(), r.mark);
    return l.has(lkf::noorder);
}

Impl::Verdict Impl::verdict(const Resource& r, const Lock& l, Mode mode, When when) const {
    if (when == When::arrival && !l.has_granted && l.has(lkf::expedite)) return Verdict::yes;
    if (conflicts_with_any(mode, r.modes_without(l))) return Verdict::no;
    if (after_undecided(r, l, mode, when)) return Verdict::behind;
    if (!in_order(r, l, when)) return when == When::arrival && line_undecided(r, l) ? Verdict::behind : Verdict::no;
    if (!allowed(r, l, mode)) return Verdict::held_back;
    return covers(port.held(r.handle), mode) ? Verdict::yes : Verdict::ask;
}

Mode Impl::other_mode(const Lock& l) const {
    if (l.has(lkf::altpr) && l.wanted != Mode::PR) return Mode::PR;
    if (l.has(lkf::altcw) && l.wanted != Mode::CW) return Mode::CW;
    return l.wanted;
}

// What `l` holds is in the way of a conversion that is queued before it. Looked at again in the queue: or after it, if
// that one is in the way of `l`, too.
bool Impl::deadlock(const Resource& r, const Lock& l, When when) const {
    bool ahead = true;
    for (const Lock* c = r.converting.first(); c != nullptr; c = c->next) {
        if (c == &l) {
            ahead = false;
            continue;
        }
        if (!conflicts(l.granted, c->wanted)) continue;
        if (when == When::arrival || ahead || conflicts(c->granted, l.wanted)) return true;
    }
    return false;
}

void Impl::decide(Resource& r, Lock& l) {
    const Verdict v = verdict(r, l, l.wanted, When::arrival);
    const bool converts = l.has_granted;
    if (v == Verdict::yes) {
        grant(r, l, l.wanted);
        if (converts) scan(r);
        return;
    }
    const bool open = v == Verdict::ask || v == Verdict::behind || (v == Verdict::held_back && converts);
    if (open && !l.node_refused) {
        const bool first = r.converting.empty() && (converts || r.waiting.empty());
        const bool overtakes = converts ? !first || v == Verdict::behind : l.has(lkf::noorder) && !first;
        if (l.undecided || l.has(lkf::noqueue) || overtakes || (v == Verdict::ask && other_mode(l) != l.wanted))
            return defer(r, l);
        return enqueue(r, l, v);
    }
    if (converts && !l.has(lkf::noqueue) && deadlock(r, l, When::arrival)) {
        if (l.has(lkf::convdeadlk)) return demote(r, l);
        if (!l.has(lkf::nodlckwt)) return fail(r, l, EDEADLK);
        return enqueue(r, l, v);
    }
    if (decide_other(r, l)) return;
    if (l.has(lkf::noqueue)) return fail(r, l, EAGAIN);
    enqueue(r, l, v);
}

// ALTPR, ALTCW. True: granted so, or the nodes are to be asked.
bool Impl::decide_other(Resource& r, Lock& l) {
    const Mode other = other_mode(l);
    if (other == l.wanted) return false;
    const Verdict v = verdict(r, l, other, When::arrival);
    if (v == Verdict::yes) {
        const bool converts = l.has_granted;
        l.sb_flags |= sbf::altmode;
        grant(r, l, other);
        if (converts) scan(r);
        return true;
    }
    if (v != Verdict::ask || l.node_refused_alt) return false;
    defer(r, l);
    return true;
}

void Impl::defer(Resource& r, Lock& l) {
    if (l.undecided) return;
    l.undecided = true;
    r.deferred = true;
    r.undecided.push_back(&l);
    set_patience(l, now + patience);
}

void Impl::undefer(Resource& r, Lock& l) {
    if (!l.undecided) return;
    l.undecided = false;
    std::erase(r.undecided, &l);
    set_patience(l, never);
}

void Impl::enqueue(Resource& r, Lock& l, Verdict v) {
    undefer(r, l);
    l.node_granted = false;
    const bool converts = l.has_granted;
    unplace(r, l);
    place(r, l, converts ? Place::converting : Place::waiting);
    // A conversion that could not wait for the operation before it any longer is on its own from here on.
    if (converts && v == Verdict::behind) v = verdict(r, l, l.wanted, When::queued);
    if (v == Verdict::behind) r.scan_owed = true;
    if (v == Verdict::ask || v == Verdict::held_back) r.due.push_back(&l);
    tell_queue(r.granted, l);
    arm_search(l);
}

void Impl::fail(Resource& r, Lock& l, std::int32_t status) {
    const bool tells = status == EAGAIN && l.has(lkf::noqueuebast);
    withdraw(l);
    complete(l, status);
    if (tells) {
        tell_queue(r.granted, l);
        tell_queue(r.converting, l);
    }
    if (!l.has_granted) remove(l);
}

// CONVDEADLK: what it holds goes, so that those before it get on.
void Impl::demote(Resource& r, Lock& l) {
    undefer(r, l);
    r.uncount_mode(l.granted);
    l.granted = Mode::NL;
    r.count_mode(l.granted);
    l.sb_flags |= sbf::demoted;
    scan_converting(r);
    const bool after = std::any_of(r.due.begin(), r.due.end(), [&](const Lock* d) {
        return conflicts(l.wanted, asked_mode(*d)) && still_open(*d);
    });
    const Verdict v = after ? Verdict::no : verdict(r, l, l.wanted, When::arrival);
    if (v != Verdict::yes) return enqueue(r, l, v);
    grant(r, l, l.wanted);
    scan(r);
}

void Impl::place(Resource& r, Lock& l, Place where) {
    l.place = where;
    LockQueue& queue = where == Place::granted ? r.granted : where == Place::converting ? r.converting : r.waiting;
    if (where == Place::granted || l.has(lkf::headque)) queue.push_front(l);
    else queue.push_back(l);
}

void Impl::unplace(Resource& r, Lock& l) {
    if (l.place == Place::granted) r.granted.remove(l);
    if (l.place == Place::converting) r.converting.remove(l);
    if (l.place == Place::waiting) r.waiting.remove(l);
    l.place = Place::none;
    disarm_search(l);
}

// The scan has met one that would be granted by now if the nodes had said yes. Not for ever, though: it may wait for
// them long.
bool Impl::after_due(Resource& r, Lock& l, Mode mode) {
    const bool after = std::any_of(r.due.begin(), r.due.end(), [&](const Lock* d) {
        return d != &l && conflicts(mode, asked_mode(*d)) && still_open(*d) && precedes(*d, l) &&
               verdict(r, *d, asked_mode(*d), When::queued) == Verdict::ask;
    });
    if (!after) return false;
    r.scan_owed = true;
    set_patience(l, now + patience);
    return true;
}

void Impl::make_due(Resource& r, Lock& l) {
    if (!is_due(r, l)) r.due.push_back(&l);
}

bool Impl::is_due(const Resource& r, const Lock& l) const {
    return !r.due.empty() && std::find(r.due.begin(), r.due.end(), &l) != r.due.end();
}

bool Impl::try_queued(Resource& r, Lock& l) {
    l.due_other = false;
    const Verdict v = verdict(r, l, l.wanted, When::queued);
    if (v == Verdict::yes && !after_due(r, l, l.wanted)) {
        grant(r, l, l.wanted);
        return true;
    }
    if (v == Verdict::yes || (v == Verdict::ask && after_due(r, l, l.wanted))) return false;
    if (v == Verdict::behind) r.scan_owed = true;
    if (v == Verdict::held_back) make_due(r, l);
    if (v == Verdict::ask) {
        r.scan_owed = true;
        make_due(r, l);
        if (!l.node_refused) return false;
    }
    if (l.has_granted && deadlock(r, l, When::queued)) {
        if (l.has(lkf::nodlckwt) && l.told < level(l.wanted)) tell(l, l.wanted);
        return false;
    }
    const Mode other = other_mode(l);
    const Verdict w = other != l.wanted ? verdict(r, l, other, When::queued) : Verdict::no;
    if ((w != Verdict::yes && w != Verdict::ask) || after_due(r, l, other)) return false;
    if (w == Verdict::ask) {
        r.scan_owed = true;
        l.due_other = v != Verdict::ask;
        make_due(r, l);
        return false;
    }
    l.sb_flags |= sbf::altmode;
    grant(r, l, other);
    return true;
}

void Impl::scan_converting(Resource& r) {
    bool again = true;
    while (again) {
        again = false;
        for (Lock* l = r.converting.first(); l != nullptr && !again; l = l->next) again = try_queued(r, *l);
    }
}

void Impl::scan_waiting(Resource& r) {
    for (Lock *l = r.waiting.first(), *next = nullptr; l != nullptr; l = next) {
        next = l->next;
        try_queued(r, *l);
    }
}

void Impl::scan(Resource& r) {
    r.scan_owed = false;
    // Keeps those that nothing local has got in the way of.
    std::erase_if(r.due,
                  [this, &r](const Lock* l) { return verdict(r, *l, asked_mode(*l), When::queued) == Verdict::no; });
    if (!r.converting.empty()) scan_converting(r);
    if (!r.waiting.empty()) scan_waiting(r);
    if (r.converting.empty() && r.waiting.empty() && r.mark == Mode::NL) return;
    tell_holders(r);
}

void Impl::tell(Lock& holder, Mode wanted) {
    if (holder.cookies.bast == 0 || holder.orphan()) return;
    holder.told = level(wanted);
    Callback c;
    c.kind = Callback::Kind::blocking;
    c.mode = wanted;
    c.owner = holder.owner;
    c.id = holder.id;
    c.cookies = holder.cookies;
    callbacks.push_back(c);
}

void Impl::tell_queue(const LockQueue& queue, const Lock& about) {
    for (Lock* g = queue.first(); g != nullptr; g = g->next) {
        if (g == &about) continue;
        const bool again = pr_and_cw(g->granted, about.wanted) && g->told < level(Mode::EX);
        const bool first = g->told < level(about.wanted) && conflicts(g->granted, about.wanted);
        if (again || first) tell(*g, about.wanted);
    }
}

void Impl::tell_holders(Resource& r) {
    std::int8_t high = -1;
    bool cw = false;
    for (const LockQueue* queue : {&r.converting, &r.waiting}) {
        for (const Lock* l = queue->first(); l != nullptr; l = l->next) {
            high = std::max(high, level(l->wanted));
            cw = cw || l->wanted == Mode::CW;
        }
    }
    for (Lock* g = r.granted.first(); g != nullptr; g = g->next) {
        const bool against_cw = cw && g->granted == Mode::PR;
        if (high >= 0) {
            const Mode mode = static_cast<Mode>(high);
            const bool first = g->told < high && conflicts(g->granted, mode);
            if ((against_cw && g->told < level(Mode::EX)) || first)
                tell(*g, against_cw && mode == Mode::PR ? Mode::CW : mode);
        }
        if (r.mark != Mode::NL && g->told < level(r.mark) && conflicts(g->granted, r.mark)) tell(*g, r.mark);
    }
}

// The answers that undecided operations waited for may follow from what has changed.
void Impl::decide_undecided(Resource& r) {
    for (std::size_t i = 0; i < r.undecided.size();) {
        Lock* l = r.undecided[i];
        const std::size_t before = r.undecided.size();
        decide(r, *l);
        i = r.undecided.size() == before ? i + 1 : 0;
    }
}

}  // namespace sdlm::dlm
