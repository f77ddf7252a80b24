// SPDX-License-Identifier: LGPL-2.1-or-later
// One lock of a domain as the programs of this node see it: open descriptors, opens that wait, the blocked mark and the
// LVB, translated to the node's demand. No FUSE, no I/O, no clock. Local programs are never excluded from each other:
// only nodes are. see fs/DLMFS.md §3
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "locks/core/lock_port.hpp"

namespace sdlm::fs {

// One open(2), from its request until its release. Never reused.
using OpenId = std::uint64_t;

struct OpenAnswer {
    OpenId open = 0;
    int error = 0;                       // errno; 0: granted
    friend bool operator==(const OpenAnswer&, const OpenAnswer&) = default;
};

// What has become due towards programs, in order.
struct Effects {
    std::vector<OpenAnswer> answers;
    std::vector<OpenId> wakes;           // descriptors whose poll state has risen
};

struct OpenMode {
    locks::Mode level = locks::Mode::PR; // PR or EX
    bool nonblock = false;
};

inline constexpr std::size_t lvb_file_bytes = 64;
static_assert(lvb_file_bytes == limits::lvb_bytes_max);

class LockFile {
public:
    LockFile(locks::LockPort& port, locks::Handle handle);
    LockFile(const LockFile&) = delete;
    LockFile& operator=(const LockFile&) = delete;

    void open(OpenId id, OpenMode mode, Effects& out);
    // The program has given up waiting (signal, kill). True if `id` was waiting; no answer is made.
    bool withdraw(OpenId id, Effects& out);
    // An O_NONBLOCK open has waited behind another program's request for as long as it may.
    void expire(OpenId id, Effects& out);
    void release(OpenId id, Effects& out);

    void granted(locks::Mode mode, Effects& out);
    void refused(locks::Refusal why, Effects& out);
    void blocked(locks::Mode mode, Effects& out);
    void lease_lost(Effects& out);       // every waiting open fails with EIO
    void fail_waiting(int error, Effects& out);

    // Bytes copied to `out`: 0 at or past the end and while the value is not valid.
    std::size_t read(std::uint64_t offset, std::span<std::byte> out) const;
    // Bytes taken, or a negative errno: -EBADF without an EX descriptor, -ENOSPC at or past the end.
    int write(OpenId id, std::uint64_t offset, std::span<const std::byte> bytes);

    locks::Handle handle() const { return handle_; }
    bool in_use() const { return !descriptors_.empty() || !queue_.empty(); }
    bool has_descriptor(OpenId id) const { return descriptors_.contains(id); }
    bool marked_blocked() const { return mark_ != locks::Mode::NL; }
    std::size_t waiting_count() const { return queue_.size(); }

private:
    struct Waiting {
        OpenId id = 0;
        OpenMode mode;
    };

    locks::Mode used() const;
    // While another node waits, only what would remain after the hand-over may be granted locally.
    bool allowed(locks::Mode level) const;
    void admit(const Waiting& waiting, Effects& out);
    void settle(Effects& out);
    void admit_covered(Effects& out);
    void refuse_held_back(Effects& out);
    bool asks(OpenId id) const { return asking_ && asking_->id == id; }
    void ask_for_next();                 // and states the demand

    locks::LockPort& port_;
    const locks::Handle handle_;
    std::map<OpenId, locks::Mode> descriptors_;
    std::size_t writers_ = 0;            // descriptors at EX
    std::deque<Waiting> queue_;
    std::optional<Waiting> asking_;      // the waiting open whose want the node has
    locks::Mode mark_ = locks::Mode::NL; // highest mode another node waits for, NL: none
    std::optional<locks::Demand> stated_; // as the node knows it; nullopt: must be stated anew
    bool lost_ = false;
};

}  // namespace sdlm::fs
