// SPDX-License-Identifier: LGPL-2.1-or-later
// The lockspace's inside. lockspace.cpp: owners, ids, rows. lock_call.cpp, unlock_call.cpp: the calls.
// granting.cpp: who gets what inside the node. node_side.cpp: what the node is asked for, its answers, values.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "locks/dlm/resource.hpp"

namespace sdlm::dlm {

struct WaitGraph;

struct Lockspace::Impl {
    Impl(Lockspace& self, locks::LockPort& p, std::string n, std::uint32_t id, Duration pat)
        : events(self), port(p), name(std::move(n)), node_id(id), patience(pat) {}

    struct NameHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
    };
    struct Owner {
        bool open = false;
        std::uint32_t process = 0;
        std::size_t reserved_count = 0;
        OwnerList locks, reserved;
    };
    enum class Verdict : std::uint8_t {
        yes,
        no,            // a local lock or the local order is against it
        held_back,     // other nodes wait for it longer
        behind,        // an earlier operation is not decided yet
        ask,           // nothing local is against it; the node does not hold the mode
    };
    enum class When : std::uint8_t { arrival, queued };
    enum class Timer : std::uint8_t { timeout, patience };
    using Deadline = std::tuple<Instant, LockId, Timer>;
    enum class Persistent : std::uint8_t { becomes_orphan, goes };

    // lockspace.cpp
    Lock* make_lock(OwnerId owner, LockId wish);
    void free_lock(Lock& l);                 // from everything but its queue
    Lock* find_own(OwnerId owner, LockId id);
    bool open_owner(OwnerId owner) const { return owner != no_owner && owner < owners.size() && owners[owner].open; }
    void tick(Instant at) { now = at > now ? at : now; }
    std::int32_t open_resource(std::string_view resource_name, Resource*& out);
    std::int32_t open_handle(Resource& r);
    void drop_resource(Resource& r);         // closes the handle
    void retire(Resource& r);                // without locks: idle, or dropped
    void link_idle(Resource& r);
    void unlink_idle(Resource& r);
    void set_timeout(Lock& l, Instant at);
    void set_patience(Lock& l, Instant at);
    void set_timer(Lock& l, Instant Lock::*timer, Timer kind, Instant at);
    void expire();
    LockRow row(const Lock& l, Instant at) const;

    // lock_call.cpp
    LockResult request(const LockCall& call);
    LockResult convert(const LockCall& call);
    LockResult adopt(const LockCall& call);
    void begin(Lock& l, const LockCall& call);
    void complete(Lock& l, std::int32_t status);

    // unlock_call.cpp
    void withdraw(Lock& l);                  // ends the operation under way: a new request stands nowhere then
    void remove(Lock& l);                    // takes the lock out of its resource and frees it
    void cancel(Lock& l, std::int32_t status);
    void drop(const std::vector<Lock*>& locks, Persistent persistent);
    void make_orphan(Lock& l);
    void purge_orphans(std::uint32_t pid);
    void invalidate(Lock& l);
    void lose();

    // granting.cpp
    Verdict verdict(const Resource& r, const Lock& l, Mode mode, When when) const;
    bool in_order(const Resource& r, const Lock& l, When when) const;
    bool after_undecided(const Resource& r, const Lock& l, Mode mode, When when) const;
    bool allowed(const Resource& r, const Lock& l, Mode mode) const;
    bool line_undecided(const Resource& r, const Lock& l) const;
    bool still_open(const Lock& l) const;    // asked, and the answer may come any moment
    Mode other_mode(const Lock& l) const;    // ALTPR, ALTCW; the wanted mode itself: none
    bool deadlock(const Resource& r, const Lock& l, When when) const;
    void decide(Resource& r, Lock& l);       // by the rules for arrivals
    bool decide_other(Resource& r, Lock& l);
    void defer(Resource& r, Lock& l);
    void undefer(Resource& r, Lock& l);
    void enqueue(Resource& r, Lock& l, Verdict v);
    void fail(Resource& r, Lock& l, std::int32_t status);
    void demote(Resource& r, Lock& l);
    void grant(Resource& r, Lock& l, Mode mode);
    void place(Resource& r, Lock& l, Place where);
    void unplace(Resource& r, Lock& l);
    bool try_queued(Resource& r, Lock& l);
    bool is_due(const Resource& r, const Lock& l) const;
    void make_due(Resource& r, Lock& l);
    bool after_due(Resource& r, Lock& l, Mode mode);
    void scan_converting(Resource& r);
    void scan_waiting(Resource& r);
    void scan(Resource& r);                  // after a release
    void tell_holders(Resource& r);          // of what is still queued here and of what other nodes wait for
    void tell(Lock& holder, Mode wanted);
    void tell_queue(const LockQueue& queue, const Lock& about);
    void decide_undecided(Resource& r);

    // node_side.cpp
    void settle(Resource& r);                // at the end of every input that touched the resource
    void choose(Resource& r);
    Lock* candidate(Resource& r, bool& guess);
    bool worth_asking(const Resource& r, const Lock& l, Mode mode) const;
    Mode asked_mode(const Lock& l) const;
    void state(Resource& r);
    void node_granted(Resource& r);
    void node_refused(Resource& r, locks::Refusal why);
    void node_blocked(Resource& r, Mode mode);
    std::uint64_t owner_tag(const Lock& l) const;
    LvbBytes value(const Resource& r, bool& valid) const;
    void write_value(Resource& r, const LvbBytes& bytes, bool valid);

    // deadlock.cpp
    bool takes_part(const Lock& l) const;
    void arm_search(Lock& l);
    void disarm_search(Lock& l);
    Lock* cycle_through(const WaitGraph& graph, Lock& start) const;
    std::array<locks::Handle, disk::waits_for_max> handles_waited_for(const WaitGraph& graph, const Resource& r) const;
    void search();
    void tell_waits(const WaitGraph& graph);

    Lockspace& events;
    locks::LockPort& port;
    std::string name;
    std::uint32_t node_id;
    Duration patience;
    bool joined = false;
    bool lost = false;
    bool searches = false;                   // all wants take part in the search for deadlocks
    Instant now{};
    std::uint64_t sequence = 0;
    std::vector<Callback> callbacks;
    std::deque<Lock> table;                  // index: id - 1
    std::vector<LockId> free_ids;
    std::vector<Owner> owners = std::vector<Owner>(1);   // 0: the orphans
    std::vector<OwnerId> free_owners;
    std::unordered_map<std::string, std::unique_ptr<Resource>, NameHash, std::equal_to<>> resources;
    std::unordered_map<locks::Handle, Resource*> by_handle;
    Resource* idle_first = nullptr;          // longest idle
    Resource* idle_last = nullptr;
    std::size_t idle_count = 0;
    std::size_t lock_count = 0;
    std::set<Deadline> deadlines;
    Instant search_at = never;               // for deadlocks
    std::size_t searching = 0;               // queued locks that take part; 0: no search is due
};

}  // namespace sdlm::dlm
