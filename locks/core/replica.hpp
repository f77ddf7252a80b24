// SPDX-License-Identifier: LGPL-2.1-or-later
// Following one peer's record stream: decides from each slot image whether the inline records suffice or which
// journal pages must be read first. Never applies a record with a gap before it (I4). see locks/PROTOCOL.md §3
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "disk/base/ids.hpp"
#include "disk/format/record.hpp"
#include "disk/format/slot.hpp"

namespace sdlm::locks {

// Where applied records go. A `stamp` marks the pass that applied a record: records with a stamp below valid_from do
// not count.
class ReplicaSink {
public:
    virtual ~ReplicaSink() = default;
    virtual void apply(NodeIndex node, std::uint32_t stamp, const disk::Record& record) = 0;
    // From now on only records of `node` with this stamp or a later one count.
    virtual void valid_from(NodeIndex node, std::uint32_t stamp) = 0;
};

struct PageRange {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
};

class Replica {
public:
    explicit Replica(NodeIndex node) : node_(node) {}

    // Starts to follow a new life of the node. Earlier records do not count any more.
    void reset(const Incarnation& incarnation, ReplicaSink& sink);
    const Incarnation& incarnation() const { return incarnation_; }
    // Sequence of the newest image that is applied completely; 0 = none.
    std::uint64_t applied_sequence() const { return applied_sequence_; }
    bool fetching() const { return pending_.has_value(); }

    // A good image of this life whose sequence is not below applied_sequence(). Returns the pages to read first, or
    // nothing when the image is applied. While pages are being fetched, images are ignored (the next one after them
    // counts).
    std::optional<PageRange> image(const disk::SlotHeader& header, std::vector<disk::Record>& inline_records,
                                   ReplicaSink& sink);
    // The records of the next pages of the range, in order. Returns true when the pending image is applied.
    bool pages(std::uint64_t count, const std::vector<disk::Record>& records, ReplicaSink& sink);
    // The pages were not (or no longer) there: forget the pending image and wait for the next one.
    void fetch_failed();
    // The life is over. Returns the first stamp that a later life can use.
    std::uint32_t end();

private:
    struct Pending {
        disk::SlotHeader header;
        std::vector<disk::Record> records;
        std::uint64_t next_page = 0;
        bool rebuild = false;
    };
    void finish(const disk::SlotHeader& header, const std::vector<disk::Record>& records, ReplicaSink& sink);

    NodeIndex node_;
    Incarnation incarnation_;
    std::uint32_t stamp_ = 1;              // never goes back, over all lives
    bool known_ = false;                   // some image is applied
    std::uint32_t epoch_ = 0;
    bool complete_ = false;
    std::uint64_t next_page_ = 0;
    std::uint64_t applied_position_ = 0;
    std::uint64_t applied_sequence_ = 0;
    std::optional<Pending> pending_;
};

}  // namespace sdlm::locks
