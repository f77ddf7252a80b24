// SPDX-License-Identifier: LGPL-2.1-or-later
// The resource as the node is to see it: one demand made of all queues; the node's answers; values.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "locks/dlm/lockspace_impl.hpp"

namespace sdlm::dlm {

using Impl = Lockspace::Impl;
using locks::compatible;
using locks::conflicts;
using locks::covers;

void Impl::settle(Resource& r) {
    if (r.locks == 0) return retire(r);
    if (r.mark != Mode::NL && compatible(port.held(r.handle), r.mark)) r.mark = Mode::NL;   // handed over
    // Only the head of the line keeps a mode for later.
    if (r.reserve != nullptr && r.reserve != (!r.converting.empty() ? r.converting.first() : r.waiting.first()))
        r.reserve = nullptr;
    decide_undecided(r);
    const bool decided = r.deferred && r.undecided.empty();
    if (decided) r.deferred = false;
    if (r.scan_owed && r.undecided.empty() && (decided || r.asking == nullptr)) scan(r);
    if (r.locks == 0) return retire(r);
    choose(r);
    state(r);
}

// Worth a word to the node: it does not hold the mode, or others are to have their turn before.
bool Impl::worth_asking(const Resource& r, const Lock& l, Mode mode) const {
    if (!covers(port.held(r.handle), mode)) return true;
    return !allowed(r, l, mode) && compatible(r.used(), r.mark);
}

Mode Impl::asked_mode(const Lock& l) const {
    if (l.due_other) return other_mode(l);
    if (!l.undecided || other_mode(l) == l.wanted) return l.wanted;
    const bool conflict = conflicts_with_any(l.wanted, l.resource->modes_without(l));
    return l.node_refused || conflict ? other_mode(l) : l.wanted;
}

// The next to ask for: what nothing local is against, in order of arrival; else the head of the line, so that other
// nodes learn of it and it gets its place among theirs (a guess).
Lock* Impl::candidate(Resource& r, bool& guess) {
    guess = false;
    const auto ready = [this, &r](const Lock& l, When when) {
        const Verdict v = verdict(r, l, asked_mode(l), when);
        return (v == Verdict::ask || v == Verdict::held_back) && worth_asking(r, l, asked_mode(l));
    };
    Lock* due = nullptr;
    for (Lock* d : r.due)
        if (ready(*d, When::queued) && (due == nullptr || precedes(*d, *due))) due = d;
    for (Lock* u : r.undecided) {
        if (due != nullptr && due->sequence < u->sequence && still_open(*due) && now < u->patience) return due;
        if (ready(*u, When::arrival)) return u;
    }
    if (due != nullptr) return due;
    guess = true;
    Lock* head = !r.converting.empty() ? r.converting.first() : r.waiting.first();
    if (r.asking != nullptr && r.asking == head) return head;
    return head != nullptr && r.reserve == nullptr && worth_asking(r, *head, head->wanted) ? head : nullptr;
}

void Impl::choose(Resource& r) {
    if (r.asking != nullptr) {
        if (r.asking->undecided) return;
        r.guess = verdict(r, *r.asking, asked_mode(*r.asking), When::queued) == Verdict::no;
        if (!r.guess && !r.asking->has_granted) {
            const auto conversion = std::find_if(r.due.begin(), r.due.end(), [this, &r](const Lock* d) {
                return d->has_granted && verdict(r, *d, asked_mode(*d), When::queued) == Verdict::ask;
            });
            r.guess = conversion != r.due.end();   // conversions go first
        }
        if (!r.guess) {
            // It has waited long for other nodes. Whoever may overtake it gets one quick answer.
            const auto over = std::find_if(r.undecided.begin(), r.undecided.end(), [this, &r](const Lock* u) {
                return u->patience <= now && worth_asking(r, *u, asked_mode(*u));
            });
            if (over != r.undecided.end()) r.asking = *over;
            return;
        }
    }
    bool guess = false;
    r.asking = candidate(r, guess);
    r.guess = guess;
    if (r.asking != nullptr && !r.guess && r.asking->asked_at == never) r.asking->asked_at = now;
}

std::uint64_t Impl::owner_tag(const Lock& l) const {
    std::uint64_t z = (std::uint64_t{node_id} << 32 | l.process) * 0x9e3779b97f4a7c15ULL + l.xid;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL + l.owner;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    z ^= z >> 31;
    return z != 0 ? z : 1;
}

void Impl::state(Resource& r) {
    locks::Demand demand{.used = r.used(), .want = std::nullopt, .interest = r.locks > 0, .cache = true, .waits_on = r.waits_on};
    if (const Lock* l = r.asking)
        demand.want = locks::Want{.mode = asked_mode(*l),
                                  .noqueue = l->undecided,
                                  .noqueue_bast = l->undecided && l->has(lkf::noqueuebast),
                                  .convert = l->has_granted,
                                  .deadlock_wait = l->has(lkf::nodlckwt),
                                  .owner_tag = takes_part(*l) ? owner_tag(*l) : 0,
                                  .spared = l->has(lkf::nodlckblk)};
    if (r.stated_valid && r.stated == demand) return;
    r.stated = demand;
    r.stated_valid = true;
    port.set_demand(r.handle, demand);
}

void Impl::node_granted(Resource& r) {
    r.stated_valid = false;               // the node counts the mode as used until it is told otherwise
    Lock* l = std::exchange(r.asking, nullptr);
    if (l != nullptr && covers(port.held(r.handle), asked_mode(*l))) {
        l->node_granted = true;
        if (l->undecided) {
            decide(r, *l);
            if (r.scan_owed) scan(r);
        } else {
            if (is_due(r, *l) || r.scan_owed) scan(r);
            // A local lock is in its way. The node keeps the mode: it is this request's turn.
            if (l->busy && covers(port.held(r.handle), l->wanted)) r.reserve = l;
        }
    }
    settle(r);
}

void Impl::node_refused(Resource& r, locks::Refusal why) {
    const Mode mode = r.stated.want ? r.stated.want->mode : Mode::NL;
    r.stated_valid = false;
    Lock* l = std::exchange(r.asking, nullptr);
    if (l == nullptr) return settle(r);
    if (why == locks::Refusal::no_space) {
        fail(r, *l, ENOMEM);
        scan(r);
    } else if (l->undecided) {
        (mode == l->wanted ? l->node_refused : l->node_refused_alt) = true;
        decide(r, *l);
    } else if (why == locks::Refusal::deadlock) {
        if (l->has(lkf::convdeadlk) && l->granted != Mode::NL) {
            r.uncount_mode(l->granted);
            l->granted = Mode::NL;
            r.count_mode(l->granted);
            l->sb_flags |= sbf::demoted;
            scan(r);
        } else {
            fail(r, *l, EDEADLK);
            scan(r);
        }
    }
    settle(r);
}

void Impl::node_blocked(Resource& r, Mode mode) {
    const bool more = mode != Mode::NL && !covers(r.mark, mode);
    r.mark = mode;
    if (mode != Mode::NL) {
        Lock other;
        other.wanted = mode;
        tell_queue(r.granted, other);
    }
    if (!more && r.locks > 0) scan(r);
    settle(r);
}

LvbBytes Impl::value(const Resource& r, bool& valid) const {
    const locks::Lvb& lvb = port.lvb(r.handle);
    LvbBytes bytes{};
    std::copy_n(lvb.bytes.begin(), std::min<std::size_t>(lvb.length, bytes.size()), bytes.begin());
    valid = lvb.valid;
    return bytes;
}

void Impl::write_value(Resource& r, const LvbBytes& bytes, bool valid) { port.write_lvb(r.handle, bytes, valid); }

// Where a value goes with a change of mode: from the resource to the caller, from the caller, or nowhere.
namespace {
enum class Move : std::uint8_t { none, read, write };
Move move_of(const Lock& l, Mode to) {
    if (!l.has_granted) return Move::read;
    if (l.granted == Mode::EX || (l.granted == Mode::PW && to != Mode::EX)) return Move::write;
    return to >= l.granted ? Move::read : Move::none;
}
}  // namespace

void Impl::grant(Resource& r, Lock& l, Mode mode) {
    const Move move = move_of(l, mode);
    const bool marks = move == Move::write && l.has(lkf::ivvalblk);
    if (marks) invalidate(l);
    else if (move == Move::write && l.has(lkf::valblk)) write_value(r, l.lvb, true);
    undefer(r, l);
    unplace(r, l);
    if (l.has_granted) r.uncount_mode(l.granted);
    l.has_granted = true;
    l.granted = mode;
    r.count_mode(mode);
    place(r, l, Place::granted);
    withdraw(l);
    l.told = -1;
    if (!r.stated_valid || !covers(r.stated.used, mode)) state(r);   // the value counts while the mode is in use
    bool valid = true;
    const LvbBytes bytes = value(r, valid);
    if (!valid && !marks) l.sb_flags |= sbf::valnotvalid;
    complete(l, 0);
    if (move == Move::read && l.has(lkf::valblk)) {
        callbacks.back().has_lvb = true;
        callbacks.back().lvb = bytes;
    }
}

}  // namespace sdlm::dlm
