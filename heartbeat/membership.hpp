// SPDX-License-Identifier: LGPL-2.1-or-later
// Who is alive: claims the own slot, keeps the own lease, watches the other slots, decides deaths. Pure.
// Knows slot headers only; what lies behind them (records) belongs to locks/. see heartbeat/PROTOCOL.md
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "disk/base/ids.hpp"
#include "disk/base/instant.hpp"
#include "disk/base/prng.hpp"
#include "disk/base/result.hpp"
#include "disk/format/slot.hpp"
#include "heartbeat/timing.hpp"

namespace sdlm::heartbeat {

// fencing: asked to stop itself, clients may still be stopping; nothing is decided any more. fenced: the slot says so.
enum class Own : std::uint8_t { idle, choosing, claiming, live, leaving, fencing, fenced, left, lost, failed };

// How the life that was followed in a slot came to its end.
enum class EndedBy : std::uint8_t { none, left, fenced, evicted, replaced };

// What is in a slot of one read: a good header, or why not. `digest` tells one undecodable image from another.
struct Sight {
    Result<disk::SlotHeader> header;
    std::uint32_t digest = 0;
};

struct Peer {
    bool known = false;                       // some life is being followed
    disk::SlotHeader header;                  // newest good image of it
    Instant changed_at;                       // completion of the read that first showed its sequence
    EndedBy ended = EndedBy::none;            // of the followed life
    std::uint64_t ended_sequence = 0;         // its last sequence that counts
    bool evict_wanted = false;                // judged dead; the fact is not on the disk yet
    // The latest read:
    bool current = false;                     // that read showed the followed life, at or after `header`
    bool damaged = false;                     // undecodable, or a life that has no right to be there
    std::uint32_t digest = 0;                 // of the damaged image
    Instant damaged_since;                    // completion of the read that first showed this digest
    Incarnation odd;   // of an older generation than the followed life's, and in the slot all the same
    std::uint64_t odd_sequence = 0;
    Instant odd_since;
    bool ignored = false;                     // damaged without change for so long that nobody can live there
    std::optional<Error> error;               // of the damaged image
    std::uint64_t changes = 0;                // of the sequence, as seen here

    bool followed() const { return known && ended == EndedBy::none; }
    bool alive() const {                      // has records that count
        return followed() && (header.state == disk::SlotState::live || header.state == disk::SlotState::leaving ||
                              header.state == disk::SlotState::fenced);
    }
    // Its slot says that nobody uses anything of it any more; it is to be evicted as soon as that image is known.
    bool proven_dead() const { return followed() && header.state == disk::SlotState::fenced; }
};

struct MembershipConfig {
    std::uint32_t slot_count = 0;
    Timing timing;
    std::optional<NodeIndex> requested;
    Uuid host;
    std::uint64_t boot = 0;
    std::uint64_t nonce_seed = 0;
    std::uint64_t started_unix = 0;           // seconds; only for the generation of a slot whose past is lost
};

struct PeerEvent {
    enum class Kind : std::uint8_t {
        appeared,          // a new life is followed; its records count from now on
        ended,             // the life is over; `by` says how
        evict,             // judged dead by this node: publish the fact; then call evict_published()
    } kind;
    NodeIndex node = no_node;
    Incarnation incarnation;
    EndedBy by = EndedBy::none;
    std::uint64_t sequence = 0;
    bool claim_only = false;   // ended: it never was more than a claim, so it has no records
    bool damaged = false;      // ended: what it wrote last could not be read
};

class Membership {
public:
    explicit Membership(const MembershipConfig& config);

    void start(Instant now);
    // One completed read of all slots. `submitted` and `completed` are this node's own times of it.
    // `own_written`: own sequence that was completely written before the read was submitted.
    void slots_read(Instant submitted, Instant completed, std::uint64_t own_written, const std::vector<Sight>& sights);
    void tick(Instant now);                    // lease expiry, settling

    // Own slot. write_due(): at the latest when a slot write must be submitted (never: none wanted).
    Own own() const { return own_; }
    NodeIndex node() const { return node_; }
    const Incarnation& incarnation() const { return incarnation_; }
    Instant write_due() const;
    Instant read_due(Instant last_read) const; // heartbeat's own need of reads
    void fill(disk::SlotHeader& header);       // state, identity, next sequence; call once for each submitted write
    void write_submitted(Instant now);
    void write_completed(Instant now, Instant submitted, std::uint64_t sequence);
    void write_failed(Instant now);
    // The claim may become live: replicas are complete and every live node knows of all evictions.
    void set_ready(bool ready) { ready_ = ready; }
    // All records of those who are alive are known, and with them the lives that a damaged slot may have had.
    void set_past_known(bool known) { past_known_ = known; }
    // Somebody knows of a life of this generation in the slot: the next one gets a higher one, whatever the slot shows.
    void generation_known(NodeIndex node, std::uint64_t generation);
    void leave_ready();                        // everything is handed over: write `left`
    void leave();
    // Stop at somebody's request: no decision from now on; the slot says `fenced` when clients_stopped() was called
    // within the lease. Ends with Own::fenced, or with Own::lost when the lease ends before.
    void begin_fence(std::string reason);
    void clients_stopped();
    bool holds_lease(Instant now) const { return (own_ == Own::live || own_ == Own::leaving) && now < lease_end_; }
    Instant lease_end() const { return lease_end_; }
    bool own_slot_good() const { return own_slot_good_; }
    std::uint64_t written_sequence() const { return written_sequence_; }
    std::uint64_t submitted_sequence() const { return sequence_; }
    void lose(std::string reason);

    // The replica has the last image of a life that is proven dead.
    void last_image_known(NodeIndex node);
    // An administrator says that the node's host does not run any more. busy: its heartbeat changed within
    // Timing::quiet() before `now`; not_found: no life is followed there.
    Result<void> declare_dead(NodeIndex node, Instant now);

    // Facts from records.
    void evict_published(NodeIndex node);      // the own fact is on the disk
    void fact(NodeIndex by, NodeIndex node, const Incarnation& incarnation, std::uint64_t sequence);

    const Peer& peer(NodeIndex node) const { return peers_[node]; }
    std::vector<PeerEvent>& events() { return events_; }
    const std::string& reason() const { return reason_; }      // of lost or failed
    const Error& error() const { return error_; }
    std::vector<std::string>& warnings() { return warnings_; }
    std::uint64_t defended() const { return defended_; }
    std::uint64_t zombies() const { return zombies_; }

private:
    void see_own(std::uint64_t own_written, const Sight& sight);
    void see_peer(NodeIndex node, Instant submitted, Instant completed, const Sight& sight);
    void see_life(NodeIndex node, Instant completed, const disk::SlotHeader& header);
    bool counted_again(Peer& peer, Instant submitted, Instant completed, const disk::SlotHeader& header) const;
    void see_damage(NodeIndex node, Instant submitted, Instant completed, const Sight& sight);
    void judge(NodeIndex node, Instant submitted);
    void condemn(NodeIndex node);
    void end(NodeIndex node, EndedBy by, std::uint64_t sequence);
    void choose(Instant submitted, Instant completed);
    enum class Claimable : std::uint8_t { yes, wait, no };
    Claimable claimable(NodeIndex node, Instant submitted) const;
    int preference(NodeIndex node) const;
    void begin_claim(NodeIndex node, Instant submitted);
    void settle(Instant submitted, const Sight& sight);
    void fail(Errc code, std::string reason);
    void warn(std::string text);
    bool quiet_for_long(const Peer& peer, Instant submitted) const;

    MembershipConfig config_;
    Prng prng_;
    Own own_ = Own::idle;
    NodeIndex node_ = no_node;
    Incarnation incarnation_;
    disk::SlotHeader previous_;
    disk::PreviousEnd previous_end_ = disk::PreviousEnd::none;
    std::uint64_t sequence_ = 0;               // of the last submitted write
    std::uint64_t written_sequence_ = 0;       // of the last completed write
    bool write_wanted_ = false;
    bool left_wanted_ = false, left_submitted_ = false;
    bool fenced_wanted_ = false, fenced_submitted_ = false;
    bool live_submitted_ = false;              // the write in flight says live
    Instant last_submit_;
    Instant lease_end_;
    Instant claim_read_submitted_;             // of the read that showed the slot claimable
    Instant read_submitted_;                   // of the newest read
    Instant live_read_submitted_;              // of the read that the write which says live is based on
    Instant settled_at_ = never;               // the claim can be trusted when a read submitted after this shows it
    bool claim_written_ = false;
    bool ready_ = false;
    bool past_known_ = false;
    bool settled_ = false;
    bool own_slot_good_ = false;
    Instant chosen_since_;
    std::uint64_t reads_ = 0;
    std::vector<Peer> peers_;
    std::vector<std::uint64_t> generations_;   // highest known, per slot
    std::vector<PeerEvent> events_;
    std::vector<std::string> warnings_;
    std::string reason_;
    Error error_{Errc::io};
    std::uint64_t defended_ = 0, zombies_ = 0;
    Instant waiting_warned_{INT64_MIN / 2};
};

}  // namespace sdlm::heartbeat
