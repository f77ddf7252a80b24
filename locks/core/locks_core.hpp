// SPDX-License-Identifier: LGPL-2.1-or-later
// Node-level locks: this node's demands against the other nodes' records. Pure. Decides on replicas only, and only on a
// view that was read after the own flag was written (I4, I5). see locks/PROTOCOL.md §4
#pragma once
#include <algorithm>
#include <bitset>
#include <cstdint>
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "disk/base/instant.hpp"
#include "heartbeat/timing.hpp"
#include "locks/core/log_writer.hpp"
#include "locks/core/resource.hpp"

namespace sdlm::locks {

struct LockEvent {
    enum class Kind : std::uint8_t { granted, refused, blocked } kind;
    Handle handle = no_handle;
    Mode mode = Mode::NL;
    Refusal why = Refusal::would_block;
};

struct LockCounters {
    std::uint64_t grants = 0, cached_grants = 0, refusals = 0, releases = 0, blocked_notices = 0;
};

class LocksCore {
public:
    LocksCore(std::uint32_t slot_count, const heartbeat::Timing& timing, LogWriter& log);

    void set_me(NodeIndex me) { me_ = me; }

    // Client side; see LockPort. `handle` arguments must be alive.
    Result<Handle> open(const ResourceKey& key, LockEvents& events);
    void close(Handle handle, Instant now);
    void set_demand(Handle handle, const Demand& demand, Instant now);
    const Lvb& lvb(Handle handle) const;
    void write_lvb(Handle handle, std::span<const std::byte> value, bool valid);
    Mode held(Handle handle) const;
    bool alive(Handle handle) const;
    LockEvents* events_of(Handle handle) const;

    // Peers' records (from ReplicaSink).
    void apply(NodeIndex node, std::uint32_t stamp, const disk::LockEntry& entry);
    void valid_from(NodeIndex node, std::uint32_t stamp);
    enum class End : std::uint8_t {
        clean,          // left: held nothing
        dead,           // evicted or fenced; the replica is exactly the state it died with
        dead_inexact,   // ... and the replica may differ from that: all of its values are suspect
    };
    // Returns the number of the death. While it is not settled, what it touched and others need is not granted.
    struct Ending {
        End how = End::clean;
        std::uint64_t unanswered = 0;   // oldest earlier death that the node had not settled; 0 = none
        // Nodes that were read after the lease was over and did not know of the death then: what they held, they held
        // before it.
        std::bitset<limits::slots_max> witnesses;
    };
    std::uint64_t peer_ended(NodeIndex node, std::uint32_t next_stamp, const Ending& ending);
    void death_settled(std::uint64_t death);
    void death_follows(std::uint64_t earlier, std::uint64_t later);
    std::uint64_t records_of(NodeIndex node) const { return record_count_[node]; }

    // A new view: every live peer is known up to a read that was submitted after own write `view` completed.
    // `read`: number of the oldest read among those that the view is made of.
    void set_view(std::uint64_t view, std::uint64_t read) {
        view_ = view;
        view_max_ = std::max(view_max_, view);
        view_read_ = read;
    }
    void begin_read(std::uint64_t read) { read_ = read; }
    // An image of this node was taken up. What it has written meanwhile may have been handed on already, to a node
    // whose slot this same read saw before: one read of all slots is no snapshot.
    void image_seen(NodeIndex node, std::uint64_t clock);

    // Versions of values come from one clock that every slot shows (Lamport's): a value written after another one was
    // released, or forgotten, always has the higher version, on whatever resource.
    void see_clock(std::uint64_t clock) { clock_ = std::max(clock_, clock); }
    std::uint64_t clock() const { return clock_; }
    void evaluate_pending();                       // after a new view: all that waits is looked at again
    LockRecord make_record(const Resource& r) const;
    // Looks at everything that was touched; fills events(). Returns false when there was nothing to do.
    bool evaluate_touched(Instant now);
    bool more() const { return !touched_.empty() || !fading_.empty(); }
    // Refuses own wants that are the victim of a cycle of waits (deadlock search).
    void search_deadlocks(Instant now);
    Instant search_due() const { return own_tags_ == 0 ? never : searched_at_ + timing_.heartbeat / 4; }
    std::vector<LockEvent>& events() { return events_; }

    // Publication. flush() hands changed records to the log; after LogWriter::compose, composed() says which write
    // carries them.
    Urgency urgency() const { return urgency_; }
    Instant soon_at() const { return soon_at_; }
    void flush();
    void composed(std::uint64_t write_ordinal);
    // Some flag is on the disk (in a write up to `writes_done`) that the newest read, of view `read_view`, cannot
    // decide.
    bool waits_for_read(std::uint64_t writes_done, std::uint64_t read_view) const;

    // Something waits for others, or for a read; what waits for its own write (not among the first `writes_done`) does
    // not count.
    bool waiting(std::uint64_t writes_done) const;
    bool holding() const { return holding_ > 0; }             // something is held, used or cached
    Instant deadline() const;                                 // earliest noqueue deadline
    Instant last_conflict() const { return last_conflict_; }

    // Clean leave: everything is given up; true when nothing is left to hand over.
    void release_all(Instant now);
    bool drained() const { return entries_ == 0; }
    void drop_orphans();

    const LockCounters& counters() const { return counters_; }
    // Every resource with any record, own or valid others'. Order of creation.
    template <class F> void each(F&& f) const {
        for (const Resource& r : table_)
            if (r.used_slot) f(r);
    }
    bool counts(const PeerRecord& peer) const { return peer.stamp >= valid_from_[peer.node]; }

private:
    struct Scan {
        std::uint8_t held_mask = 0;                // modes held by others
        std::uint8_t want_mask = 0;                // modes wanted by others
        std::uint8_t bast_mask = 0;                // ... by those whose want is to be announced
        std::uint64_t max_ticket = 0;
        std::uint64_t noqueue_ticket = 0;   // highest ticket of a trylock that conflicts with what is in use here
        bool held_conflict = false;                // with my target, from here on
        bool held_answered = false;                // a conflicting holder has answered my ticket
        bool deadlock = false;   // a conversion before mine waits for what I hold, and I for what it holds
        bool try_low = false, try_high = false;
        bool wait_low = false, wait_low_queued = false;
        bool interest = false;                     // some other node keeps the LVB alive
        Lvb best;                                  // newest carried by others
        std::uint64_t kept = 0;                    // newest version carried by others that need it
        bool best_orphan = false;                  // ... and only by orphans or the dead
        std::uint64_t oldest = 0;                  // lowest version carried by others; 0 = none is
    };
    Resource& at(Handle handle);
    const Resource& at(Handle handle) const;
    Handle make_handle_of(const Resource& r) const;
    ResourceIndex find_or_add(const ResourceKey& key);
    void touch(Resource& r);
    void list(Resource& r);
    void mark(Resource& r, Urgency urgency, Instant now);
    void set_held(Resource& r, Mode mode);
    bool before(const LockRecord& record, NodeIndex node, const Resource& r) const;

    void evaluate(Resource& r, Instant now);
    Scan scan(const Resource& r) const;
    bool held_up(const Resource& r, const PeerRecord& wanting) const;
    void scan_order(const Resource& r, const PeerRecord& peer, Mode target, Scan& s) const;
    void scan_lvb(const LockRecord& record, Scan& s) const;
    void inherit(Resource& r, const LockRecord& dead, std::uint64_t death, const Ending& ending);
    void list_record(NodeIndex node, ResourceIndex index);
    void give_up(Resource& r, const Scan& s, Instant now);
    void announce(Resource& r, const Scan& s);
    void answer(Resource& r, const Scan& s, Instant now);
    void decide(Resource& r, const Scan& s, Instant now);
    void start_want(Resource& r, const Scan& s, Instant now);
    bool take_place(Resource& r, const Scan& s, Instant now);
    bool unplaced_before(const Resource& r) const;
    bool refuse_now(const Resource& r, const Scan& s, Instant now) const;
    void set_phase(Resource& r, Phase phase, Instant now);
    void grant(Resource& r, const Scan& s, Instant now, bool cached);
    void refuse(Resource& r, Refusal why, Instant now);
    // deadlock.cpp
    struct Wait {                                  // a want in the graph of waits
        std::uint64_t tag = 0;
        NodeIndex node = no_node;
        bool spared = false;
    };
    void begin_tag(Resource& r, Instant now);
    void end_tag(Resource& r, Instant now);
    void retag(const Resource& changed, Instant now);
    void see_tags(Resource& r, const LockRecord* before, const LockRecord* after);
    std::array<std::uint64_t, disk::waits_for_max> tags_waited_for(const Resource& r) const;
    void waits_of(std::uint64_t tag, std::vector<Wait>& out) const;
    bool closes_cycle(const Resource& r, Wait& victim) const;
    void keep_lvb(Resource& r, const Scan& s, Instant now);
    void end_lapse(Resource& r, const Scan& s, Instant now);
    void learn_lvb(Resource& r, const Scan& s);
    void see_version(Resource& r, std::uint64_t version);
    void publish_lvb(Resource& r);
    void lower(Resource& r, Mode to, Urgency urgency, Instant now);
    void erase_if_unused(Resource& r);
    bool nobody_needs(const Resource& r) const;
    void fade();
    bool idle_cacheable(const Resource& r, Instant now) const;

    heartbeat::Timing timing_;
    LogWriter& log_;
    NodeIndex me_ = no_node;
    std::deque<Resource> table_;
    std::vector<ResourceIndex> free_;
    std::unordered_map<std::string, ResourceIndex> index_;    // looked up only, never iterated
    std::vector<std::vector<ResourceIndex>> records_;         // per node: resources that it has (or had) a record of
    std::vector<std::uint32_t> valid_from_;
    std::vector<ResourceIndex> unsettled_;
    std::map<std::uint64_t, ResourceIndex> tagged_;          // wants in the deadlock search, own and others'
    std::vector<ResourceIndex> blockers_;                    // resources whose demand names others
    std::uint64_t tag_clock_ = 0;
    std::size_t own_tags_ = 0;
    Instant searched_at_{INT64_MIN / 2};
    std::vector<std::uint64_t> record_count_;
    std::vector<ResourceIndex> touched_, pending_, dirty_, flagged_;
    std::vector<ResourceIndex> fading_;        // perhaps unused, to be erased when there is time
    std::vector<LockEvent> events_;
    LockCounters counters_;
    std::uint64_t inexact_death_ = 0;          // newest death of which it is not known what it touched
    std::uint64_t ordinal_ = 1;
    std::uint64_t view_ = 0;
    std::uint64_t view_max_ = 0;               // a newcomer makes the view worse, but not what was known of the others
    std::uint64_t view_read_ = 0;
    std::uint64_t read_ = 0;
    std::vector<std::uint64_t> clock_of_;      // per node, of its newest image
    std::uint64_t clock_ = 1;                  // version 1 is only ever a mark, never a written value
    Urgency urgency_ = Urgency::none;
    Instant soon_at_ = never;
    Instant last_conflict_{INT64_MIN / 2};
    std::size_t holding_ = 0;
    std::size_t entries_ = 0;
    std::size_t reserved_bytes_ = 0;
};

}  // namespace sdlm::locks
