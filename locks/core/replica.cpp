// SPDX-License-Identifier: LGPL-2.1-or-later
#include "locks/core/replica.hpp"

#include "disk/base/assert.hpp"
#include "disk/base/canary.hpp"

namespace sdlm::locks {

void Replica::reset(const Incarnation& incarnation, ReplicaSink& sink) {
    incarnation_ = incarnation;
    ++stamp_;
    known_ = false;
    epoch_ = 0;
    complete_ = false;
    next_page_ = 0;
    applied_position_ = 0;
    applied_sequence_ = 0;
    pending_.reset();
    sink.valid_from(node_, stamp_);
}

std::uint32_t Replica::end() {
    pending_.reset();
    known_ = false;
    return ++stamp_;
}

std::optional<PageRange> Replica::image(const disk::SlotHeader& header, std::vector<disk::Record>& inline_records,
                                        ReplicaSink& sink) {
    SDLM_ASSERT(header.incarnation == incarnation_);
    if (pending_) return std::nullopt;
    if (known_ && header.sequence <= applied_sequence_) return std::nullopt;
    const disk::StreamPosition& stream = header.stream;
    if (stream.complete) {
        ++stamp_;
        finish(header, inline_records, sink);
        sink.valid_from(node_, stamp_);
        return std::nullopt;
    }
    // A complete image is not part of an epoch: whoever has only seen that starts from the tail.
    const bool same_epoch = known_ && !complete_ && epoch_ == stream.epoch;
    if (same_epoch && (SDLM_CANARY(6) || applied_position_ + 1 >= stream.inline_first)) {
        finish(header, inline_records, sink);
        return std::nullopt;
    }
    const bool rebuild = !same_epoch || next_page_ < stream.tail;
    Pending pending{header, std::move(inline_records), rebuild ? stream.tail : next_page_, rebuild};
    if (rebuild) ++stamp_;
    const PageRange range{pending.next_page, stream.head - pending.next_page};
    pending_ = std::move(pending);
    if (range.count == 0) {
        pages(0, {}, sink);
        return std::nullopt;
    }
    return range;
}

bool Replica::pages(std::uint64_t count, const std::vector<disk::Record>& records, ReplicaSink& sink) {
    SDLM_ASSERT(pending_.has_value());
    for (const disk::Record& record : records) sink.apply(node_, stamp_, record);
    pending_->next_page += count;
    SDLM_ASSERT(pending_->next_page <= pending_->header.stream.head);
    if (pending_->next_page < pending_->header.stream.head) return false;
    const Pending done = std::move(*pending_);
    pending_.reset();
    finish(done.header, done.records, sink);
    if (done.rebuild) sink.valid_from(node_, stamp_);
    return true;
}

void Replica::fetch_failed() {
    if (!pending_) return;
    // Pages applied so far are part of the state or superseded by what follows; a rebuild starts again with a new
    // stamp.
    if (pending_->rebuild) {
        known_ = false;
    } else {
        next_page_ = pending_->next_page;
    }
    pending_.reset();
}

void Replica::finish(const disk::SlotHeader& header, const std::vector<disk::Record>& records, ReplicaSink& sink) {
    for (const disk::Record& record : records) sink.apply(node_, stamp_, record);
    known_ = true;
    epoch_ = header.stream.epoch;
    complete_ = header.stream.complete;
    next_page_ = header.stream.head;
    applied_position_ = header.stream.last;
    applied_sequence_ = header.sequence;
}

}  // namespace sdlm::locks
