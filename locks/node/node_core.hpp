// SPDX-License-Identifier: LGPL-2.1-or-later
// One node as a pure state machine: membership, record stream and arbitration put together. It never reads a clock,
// does I/O, or draws random numbers; the daemon's runtime and the simulator execute its output.
//
//   input:  start(), read_done(), write_done(), leave(), the LockPort calls - each changes state only
//   output: pump(now) - I/O to submit now, events for clients, when to call again at the latest
//
// Rules for the runtime: after every input (or batch of inputs) call pump(); submit its I/O at once; report each
// completion exactly once; never report a write as failed while it can still be queued in this host (an `unknown`
// write is reported when its completion comes, however late). Call pump() no later than `wake`.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "disk/base/ids.hpp"
#include "disk/base/instant.hpp"
#include "disk/base/result.hpp"
#include "disk/format/page.hpp"
#include "disk/format/slot.hpp"
#include "disk/format/superblock.hpp"
#include "heartbeat/timing.hpp"
#include "locks/core/lock_port.hpp"

namespace sdlm::node {

struct Identity {
    std::optional<NodeIndex> requested;   // fixed node number; nullopt: own former slot, else the first usable one
    Uuid host;                            // of this host (machine id)
    std::uint64_t boot = 0;               // digest of this boot's id
    std::string node_name;
    std::string host_name;
    std::string version;
    std::uint32_t pid = 0;
    std::uint64_t started_unix = 0;
    std::uint64_t nonce_seed = 0;         // random; the core draws its claim nonces from it
    bool hold_evictions = false;          // a silent node is evicted only when confirm_eviction() was called for it
};

using IoId = std::uint64_t;

struct Read {
    IoId id = 0;
    std::uint64_t offset = 0;
    std::uint32_t bytes = 0;
};

struct Write {
    IoId id = 0;
    std::uint64_t offset = 0;
    std::vector<std::byte> bytes;         // whole blocks
};

// Node-level events; lock events go to the LockEvents of their lockspace.
struct Joined { NodeIndex node; Incarnation incarnation; };       // live: locks may be taken
struct JoinFailed { Error error; std::string message; };          // final; message names the slot and what to do
struct Left {};                                                   // final: clean leave completed
// Somebody asked this node to stop: nothing is granted any more, clients were told. Stop them, then call
// clients_stopped(); ends with Fenced, or with LeaseLost when the lease ends before.
struct FenceBegun { std::string reason; };
struct Fenced { std::string reason; };                            // final: the slot says so, others go on at once
struct LeaseLost { std::string reason; };                         // final: nothing is held any more (I1)
struct PeerJoined { NodeIndex node; };
struct PeerLeft { NodeIndex node; };
// Judged dead by its silence. Told only when evictions are held: confirm_eviction() is waited for.
struct PeerSilent { NodeIndex node; Incarnation incarnation; };
struct PeerEvicted { NodeIndex node; Incarnation incarnation; bool by_me; bool proven; };   // proven: it said so itself
struct Warning { std::string message; };                          // bad block, foreign writer, ...: for the log
using NodeEvent = std::variant<Joined, JoinFailed, Left, FenceBegun, Fenced, LeaseLost, PeerJoined, PeerLeft, PeerSilent,
                               PeerEvicted, Warning>;

struct Output {
    std::vector<Read> reads;
    std::vector<Write> writes;
    std::vector<NodeEvent> events;
    Instant wake = never;
    void clear();
};

enum class NodeState : std::uint8_t { idle, choosing, claiming, live, leaving, fencing, fenced, left, lost, failed };
const char* text(NodeState state) noexcept;

enum class PeerVerdict : std::uint8_t { absent, claiming, live, late, dead, left, fenced, damaged };
const char* text(PeerVerdict verdict) noexcept;

struct PeerStatus {
    NodeIndex node = no_node;
    PeerVerdict verdict = PeerVerdict::absent;
    disk::SlotHeader header;              // last good image
    Duration age;                         // since its sequence was last seen to change
    std::uint64_t records = 0;            // in this node's replica
    std::string problem;                  // "bad checksum in field crc (offset ...)" or empty
};

struct Counters {                         // all since start
    std::uint64_t slot_writes = 0, page_writes = 0, slot_reads = 0, page_reads = 0;
    std::uint64_t write_errors = 0, read_errors = 0, bad_blocks = 0, defended = 0, zombie_images = 0;
    std::uint64_t foreign_blocks = 0;     // of bad_blocks: of another volume
    std::uint64_t misplaced_blocks = 0;   // of bad_blocks: written for another place
    std::uint64_t bad_pages = 0;          // journal pages that could not be used when they were read
    std::uint64_t slow_writes = 0;        // slot writes that took longer than half the lease
    std::uint64_t grants = 0, cached_grants = 0, refusals = 0, releases = 0, blocked_notices = 0, evictions = 0;
};

struct NodeStatus {
    NodeState state = NodeState::idle;
    NodeIndex node = no_node;
    Incarnation incarnation;
    Duration lease_left;                  // 0 when not live
    Duration write_latency, read_latency; // of the last completed slot write and slots read
    std::uint64_t ring_pages = 0, ring_used = 0;
    std::vector<PeerStatus> peers;        // every slot that is not plainly free, own slot included
    Counters counters;
};

// What somebody who stands in for a dead process must know of its lease.
struct LeaseFacts {
    bool live = false;                    // has joined: clients may hold locks, or may still use what they held
    bool over = false;                    // the slot says that the life has ended: nobody uses anything
    NodeIndex node = no_node;
    Incarnation life;
    std::uint64_t submitted = 0;          // highest sequence of a slot write handed out
    Instant lease_end;                    // long ago when the lease is lost
    Instant landed_by;                    // nothing of a failed write lands after this
};

struct LockRow {                          // one node's record of one resource, as this node knows it
    NodeIndex node = no_node;
    disk::ResourceKey key;
    disk::LockRecord record;
    bool own = false;
    disk::Mode used = disk::Mode::NL;     // own rows only
    bool blocked = false;                 // own rows only: somebody waits for it
};

class NodeCore final : public locks::LockPort {
public:
    NodeCore(const disk::Superblock& superblock, const heartbeat::Timing& timing, Identity identity);
    ~NodeCore() override;
    NodeCore(const NodeCore&) = delete;
    NodeCore& operator=(const NodeCore&) = delete;

    void start(Instant now);
    void leave(Instant now);              // clean leave; ends with Left (or LeaseLost)
    // `result` holds the bytes asked for. `submitted` is when the I/O was handed to the kernel.
    void read_done(Instant now, IoId id, Result<std::span<const std::byte>> result);
    void write_done(Instant now, IoId id, Result<void> result);
    void pump(Instant now, Output& out);  // clears `out` first

    // LockPort
    Result<void> join(const std::string& lockspace, locks::LockEvents& events) override;
    void leave(const std::string& lockspace) override;
    Result<locks::Handle> open(const disk::ResourceKey& key) override;
    void close(locks::Handle handle) override;
    void set_demand(locks::Handle handle, const locks::Demand& demand) override;
    const disk::Lvb& lvb(locks::Handle handle) const override;
    void write_lvb(locks::Handle handle, std::span<const std::byte> value, bool valid) override;
    disk::Mode held(locks::Handle handle) const override;

    NodeStatus status(Instant now) const;
    LeaseFacts lease() const;
    // At most `max` rows in key order starting after `after` (nullopt: from the start).
    std::vector<LockRow> lock_rows(const std::optional<disk::ResourceKey>& after, std::size_t max) const;
    // The live nodes that have joined the lockspace, as this node knows it, the own one included; in order.
    std::vector<NodeIndex> members(const std::string& lockspace) const;
    // Administration: ask `node`'s present life to stop itself (poison pill). not_found: no live node there.
    Result<void> request_fence(NodeIndex node);
    // ... evict it now, because its host does not run any more. not_found; busy: it was heard of lately.
    Result<void> declare_dead(NodeIndex node);
    // After PeerSilent: the peer cannot reach storage any more. Without effect when that life has ended meanwhile.
    void confirm_eviction(NodeIndex node, const Incarnation& incarnation);
    // After FenceBegun: no client of this node uses a lock any more.
    void clients_stopped();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace sdlm::node
