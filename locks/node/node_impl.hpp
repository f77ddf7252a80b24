// SPDX-License-Identifier: LGPL-2.1-or-later
// Inside of NodeCore: the three cores, the I/O that is under way, and how far everybody is known.
#pragma once
#include <bitset>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include "heartbeat/membership.hpp"
#include "locks/core/locks_core.hpp"
#include "locks/core/log_writer.hpp"
#include "locks/core/replica.hpp"
#include "locks/node/node_core.hpp"

namespace sdlm::node {

struct NodeCore::Impl final : locks::ReplicaSink {
    Impl(const disk::Superblock& superblock, const heartbeat::Timing& timing, Identity identity);

    struct OwnFact {
        locks::EntryId entry = locks::no_entry;
        disk::EvictRecord record;          // as published: the life that ended
        std::uint64_t last_sequence = 0;   // ... with this; `record` has what it was judged by
        bool announced = false;            // durable, and membership knows
        std::uint64_t number = 0;          // of the death, in this process
        std::uint64_t death = 0;           // number that the locks know it by, until all live nodes have settled it
        Instant since;                     // ... counted from
        bool claim_only = false;           // had no records: nobody needs to answer for it
        bool settle_due = false;           // the life is over here: say so, behind all records that the death changes
    };

    struct Fact : disk::EvictRecord {
        std::uint32_t stamp = 0;
    };
    struct Answer {
        std::uint64_t nonce = 0;           // of the claim that asked
        std::uint32_t stamp = 0;
    };
    struct OwnAnswer {                     // to a claim's question about a slot
        locks::EntryId entry = locks::no_entry;
        std::uint64_t nonce = 0;           // of the claim
        std::uint64_t seen_read = 0;       // that showed it first
    };

    // --- node_pump.cpp
    void pump(Instant now, Output& out);
    void leave(Instant now);
    void membership_events();
    void peer_appeared(const heartbeat::PeerEvent& event);
    void peer_ended(const heartbeat::PeerEvent& event);
    void evict(NodeIndex node, const Incarnation& incarnation, std::uint64_t sequence);
    void confirm_eviction(NodeIndex node, const Incarnation& incarnation);
    void know_last_images();
    void retract_fence(NodeIndex node);
    void publish_evict(NodeIndex node, const Incarnation& incarnation, std::uint64_t sequence);
    enum class Record : std::uint8_t { stays, goes };      // goes: it removes its key
    // Publishes a record with the next write, under its entry or a new one.
    void log_record(locks::EntryId& entry, const disk::Record& record, Record what);
    void log_evict(locks::EntryId& entry, NodeIndex node, const disk::EvictRecord& record);
    void answer_fact(NodeIndex node, const disk::EvictRecord& evicted);
    void answer_questions();
    bool in_doubt() const;
    void settle_facts();
    void own_transitions();
    void stop_clients();
    bool decide_locks();
    void deliver();
    void leave_progress();
    bool ready_to_live() const;
    bool past_known() const;
    bool answered(NodeIndex by) const;

    // --- node_write.cpp
    void write_if_due(Output& out);
    bool write_due() const;
    Instant next_write() const;
    void submit_batch(Output& out);
    void add_write(Output& out, std::uint64_t offset, std::vector<std::byte> bytes);
    void add_pages(Output& out);
    void add_card(Output& out);
    std::uint16_t encode_facts(std::vector<std::byte>& out) const;
    void write_done(Instant now, IoId id, Result<void> result);
    void batch_done();

    // --- node_read.cpp
    void read_if_due(Output& out);
    Instant next_read() const;
    Duration poll_interval() const;
    void read_done(Instant now, IoId id, Result<std::span<const std::byte>> result);
    void count_bad_block(Errc code);
    void page_failed(NodeIndex node, std::uint64_t page, const Error& error);
    void doubt_volume(const std::vector<heartbeat::Sight>& sights);
    void volume_checked(const Result<std::span<const std::byte>>& result);
    void slots_done(std::span<const std::byte> bytes);
    void learn_facts(NodeIndex node, disk::SlotState state, std::span<const std::byte> block);
    void follow(NodeIndex node, std::span<const std::byte> block, bool own_good);
    void fetch(Output& out);
    void pages_done(NodeIndex node, Result<std::span<const std::byte>> result);
    void update_view();
    std::uint64_t oldest_unanswered(NodeIndex node) const;
    std::bitset<limits::slots_max> witnesses_of(const heartbeat::PeerEvent& event) const;
    void hear_fact(NodeIndex by, const disk::EvictEntry& entry);
    void believe_facts();
    void check_settled();
    void retract_fact(NodeIndex node, OwnFact& fact);
    bool settled_by_all(NodeIndex node, const Incarnation& incarnation, Instant since) const;

    // ReplicaSink
    void apply(NodeIndex node, std::uint32_t stamp, const disk::Record& record) override;
    void valid_from(NodeIndex node, std::uint32_t stamp) override;

    void warn(std::string text);
    bool live() const { return member.own() == heartbeat::Own::live || member.own() == heartbeat::Own::leaving; }
    bool ended() const;
    bool lost() const;                     // holds nothing any more, and never will again
    std::size_t peers_alive() const;

    disk::Superblock superblock;
    heartbeat::Timing timing;
    Identity identity;
    heartbeat::Membership member;
    locks::LogWriter log;
    locks::LocksCore locks;
    std::vector<locks::Replica> replicas;
    Instant now;
    IoId next_id = 1;

    struct Lockspace {
        locks::LockEvents* events = nullptr;
        locks::EntryId entry = locks::no_entry;
    };
    std::map<std::string, Lockspace> lockspaces;
    std::map<std::pair<NodeIndex, std::string>, std::uint32_t> peer_members;   // stamp of the record

    // Facts about deaths: (who says so, about whom).
    // Each with the stamp of the pass over the stream that showed it: a later pass that does not show it any more
    // removes it.
    std::map<std::pair<NodeIndex, NodeIndex>, Fact> facts;
    // Facts that were read, but not acted on before everybody else has been read again: what others held at the death
    // counts.
    struct Told {
        NodeIndex by = no_node, node = no_node;
        Incarnation incarnation;
        std::uint64_t sequence = 0;
        std::uint64_t read = 0;
    };
    std::vector<Told> told_facts;
    std::map<NodeIndex, OwnFact> own_facts;
    std::map<std::pair<NodeIndex, NodeIndex>, Answer> answers;          // (who says so, about which slot)
    std::map<NodeIndex, OwnAnswer> own_answers;                         // by the claim's slot
    std::set<NodeIndex> asked;             // slots whose claims ask
    struct OwnFence {                      // this node asks that life to stop
        locks::EntryId entry = locks::no_entry;
        Incarnation incarnation;
    };
    std::map<NodeIndex, OwnFence> own_fences;
    std::map<NodeIndex, Incarnation> held_evictions;                    // wait for confirm_eviction()
    std::optional<NodeIndex> fence_by;     // somebody asks this life to stop

    // One batch at a time: a slot image, and the journal pages that belong to it, side by side.
    struct Batch {
        bool active = false;
        bool composed = false;             // `content` is to be written (again): not durable yet
        bool failed = false;
        bool card = false;
        locks::Batch content;
        std::uint64_t ordinal = 0;
        std::uint64_t sequence = 0;
        Instant submitted;
        std::set<IoId> outstanding;
        Instant retry_at{INT64_MIN / 2};
    } batch;
    std::uint64_t writes_composed = 0;     // ordinal of the newest composed batch
    std::uint64_t writes_done = 0;         // ... of the newest durable one
    bool write_now = false;                // a fact or a rest of records waits
    bool card_written = false;

    struct SlotsRead {
        bool active = false;
        IoId id = 0;
        Instant submitted;
        std::uint64_t view = 0;            // writes_done when it was submitted
        std::uint64_t own_written = 0;
    } slots_read;
    bool read_failing = false;             // the latest read of the slots ended with an error
    struct VolumeCheck {                   // a look at the superblock, when the slots do not look like this volume's
        bool wanted = false, active = false;
        bool alone = false;                // no slot but the own one was readable
        IoId id = 0;
    } volume_check;
    Instant last_read{INT64_MIN / 2};      // completion
    Instant read_again = never;            // a replica needs another look soon
    Duration read_latency = milliseconds(1);
    Duration write_latency;
    Instant waiting_since = never;

    struct Synced {
        std::uint64_t view = 0;            // of the newest read that is applied completely
        std::uint64_t read = 0;            // ... its number
    };
    struct Fetch {
        bool active = false;
        IoId id = 0;
        std::uint64_t next = 0, end = 0;   // pages
        std::uint32_t count = 0;           // of the read under way
        Synced synced;                     // of the node, when all pages are applied
        Incarnation incarnation;
        std::uint64_t failed_page = UINT64_MAX;      // could not be used lately ...
        Instant failed_since;
        bool failure_told = false;
    };
    std::vector<Fetch> fetches;
    std::vector<Synced> synced;            // per node
    std::vector<Instant> appeared_at;      // per node: its present life
    Synced last_view;                      // the newest read with a good own slot
    std::uint64_t reads_done = 0;
    Instant settled_after{INT64_MIN / 2};  // nothing of a failed write lands after this
    bool wrote_unsettled = false;          // the newest image says that it may be replaced by such a write
    bool view_known = false;
    Instant joining_since = never;

    bool started = false, joined_told = false, fence_told = false, end_told = false;
    bool fenced_written = false;           // ... was submitted once: what fails from then on is harmless
    Instant leave_deadline = never;
    bool leave_called = false;
    std::vector<NodeEvent> events;         // to go out with the next pump
    Counters counters;
    std::vector<disk::Record> scratch;
};

PeerVerdict verdict_of(const heartbeat::Peer& peer, Duration age, const heartbeat::Timing& timing);

}  // namespace sdlm::node
