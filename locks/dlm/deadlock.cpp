// SPDX-License-Identifier: LGPL-2.1-or-later
// Deadlocks over several resources. A queued lock waits for whatever its holders' owners wait for, and for the locks before it. Cycles
// inside the node are found here; of those that lead over other nodes the node core sees the rest: it is told, for each resource that
// other nodes wait for, which of this node's wants its holders wait for. see locks/PROTOCOL.md §8
#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <utility>

#include "locks/dlm/lockspace_impl.hpp"

namespace sdlm::dlm {

using Impl = Lockspace::Impl;
using locks::conflicts;

namespace {
bool queued(const Lock& l) { return l.busy && (l.place == Place::converting || l.place == Place::waiting); }

// Whoever it is that waits: one transaction of one process over one connection.
using Who = std::pair<OwnerId, std::uint64_t>;
Who who(const Lock& l) { return {l.owner, l.xid}; }
}  // namespace

// The queued locks that take part in the search, by who waits in them.
struct WaitGraph {
    std::map<Who, std::vector<Lock*>> waiting;

    // What `l` waits for inside this node.
    std::vector<Lock*> waits_of(const Lock& l) const {
        std::vector<Lock*> out;
        const Resource& r = *l.resource;
        const auto blocked_by = [&](Lock* holder) {
            if (holder == &l || who(*holder) == who(l) || !holder->has_granted || !conflicts(holder->granted, l.wanted)) return;
            const auto found = waiting.find(who(*holder));
            if (found != waiting.end()) out.insert(out.end(), found->second.begin(), found->second.end());
        };
        for (Lock* g = r.granted.first(); g != nullptr; g = g->next) blocked_by(g);
        for (Lock* c = r.converting.first(); c != nullptr; c = c->next) {
            blocked_by(c);
            if (c != &l && who(*c) != who(l) && (l.place == Place::waiting || precedes(*c, l))) out.push_back(c);
        }
        if (l.place != Place::waiting) return out;
        for (Lock* w = r.waiting.first(); w != nullptr && w != &l; w = w->next)
            if (who(*w) != who(l)) out.push_back(w);
        return out;
    }
};

bool Impl::takes_part(const Lock& l) const { return searches || l.timeout != never; }

void Impl::arm_search(Lock& l) {
    if (!takes_part(l) || l.searching) return;
    l.searching = true;
    if (++searching == 1) search_at = now + patience / 8;
}

void Impl::disarm_search(Lock& l) {
    if (!l.searching) return;
    l.searching = false;
    --searching;
}

// The youngest lock of a cycle that begins and ends at `start`; nullptr when there is none.
Lock* Impl::cycle_through(const WaitGraph& graph, Lock& start) const {
    struct Step {
        Lock* lock;
        std::vector<Lock*> waits;
        std::size_t next = 0;
    };
    std::set<const Lock*> visited;
    std::vector<Step> path;
    path.push_back({&start, graph.waits_of(start)});
    while (!path.empty()) {
        Step& step = path.back();
        if (step.next == step.waits.size()) {
            path.pop_back();
            continue;
        }
        Lock* next = step.waits[step.next++];
        if (next == &start) {
            Lock* victim = nullptr;
            for (const Step& on : path) {
                if (on.lock->has(lkf::nodlckblk) || !takes_part(*on.lock)) continue;
                if (victim == nullptr || on.lock->sequence > victim->sequence) victim = on.lock;
            }
            return victim;
        }
        if (takes_part(*next) && visited.insert(next).second) path.push_back({next, graph.waits_of(*next)});
    }
    return nullptr;
}

// The wants of this node that the holders of `r` wait for, whatever the way leads over.
std::array<locks::Handle, disk::waits_for_max> Impl::handles_waited_for(const WaitGraph& graph, const Resource& r) const {
    std::array<locks::Handle, disk::waits_for_max> out{};
    std::size_t count = 0;
    std::set<const Lock*> visited;
    std::vector<Lock*> work;
    const auto add_owner = [&](const Lock& holder) {
        if (!holder.has_granted || !conflicts(holder.granted, r.mark)) return;
        const auto found = graph.waiting.find(who(holder));
        if (found != graph.waiting.end()) work.insert(work.end(), found->second.begin(), found->second.end());
    };
    for (Lock* g = r.granted.first(); g != nullptr; g = g->next) add_owner(*g);
    for (Lock* c = r.converting.first(); c != nullptr; c = c->next) add_owner(*c);
    while (!work.empty() && count < out.size()) {
        Lock* l = work.back();
        work.pop_back();
        if (!visited.insert(l).second) continue;
        const locks::Handle handle = l->resource->handle;
        if (l->resource != &r && l->resource->asking == l && std::find(out.begin(), out.end(), handle) == out.end())
            out[count++] = handle;
        for (Lock* next : graph.waits_of(*l))
            if (takes_part(*next)) work.push_back(next);
    }
    return out;
}

void Impl::search() {
    search_at = now + patience / 8;
    for (bool again = true; again;) {
        again = false;
        WaitGraph graph;
        for (Lock& l : table)
            if (l.resource != nullptr && queued(l) && !l.orphan() && takes_part(l)) graph.waiting[who(l)].push_back(&l);
        for (const auto& [waiter, locks] : graph.waiting) {
            for (Lock* l : locks) {
                Lock* victim = cycle_through(graph, *l);
                if (victim == nullptr) continue;
                Resource& r = *victim->resource;
                fail(r, *victim, EDEADLK);
                scan(r);
                settle(r);
                again = true;                    // everything may have changed
                break;
            }
            if (again) break;
        }
        if (again) continue;
        tell_waits(graph);
    }
}

void Impl::tell_waits(const WaitGraph& graph) {
    std::vector<Resource*> changed;
    for (const auto& [handle, r] : by_handle) {
        if (r->mark == Mode::NL && r->waits_on == decltype(r->waits_on){}) continue;
        const auto waits = r->mark == Mode::NL ? decltype(r->waits_on){} : handles_waited_for(graph, *r);
        if (waits == r->waits_on) continue;
        r->waits_on = waits;
        changed.push_back(r);
    }
    std::sort(changed.begin(), changed.end(), [](const Resource* a, const Resource* b) { return a->handle < b->handle; });
    for (Resource* r : changed) state(*r);
}

}  // namespace sdlm::dlm
