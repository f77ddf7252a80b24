// SPDX-License-Identifier: LGPL-2.1-or-later
#include "locks/core/log_writer.hpp"

#include <algorithm>

#include "disk/base/assert.hpp"

namespace sdlm::locks {

LogWriter::LogWriter(std::size_t inline_bytes, std::uint64_t ring_pages)
    : inline_max_(inline_bytes), ring_pages_(ring_pages) {
    SDLM_ASSERT(inline_max_ >= disk::record_bytes_max);
    SDLM_ASSERT(ring_pages_ >= 8);
}

EntryId LogWriter::add() {
    EntryId id;
    if (!free_.empty()) {
        id = free_.back();
        free_.pop_back();
    } else {
        id = static_cast<EntryId>(entries_.size());
        entries_.emplace_back();
    }
    entries_[id] = Entry{};
    entries_[id].used = true;
    return id;
}

void LogWriter::count(const Entry& entry, bool add) {
    const std::size_t bytes = entry.dirty ? entry.next.size() : entry.bytes.size();
    if (entry.next_gone || bytes == 0) return;
    if (add) {
        live_bytes_ += bytes;
        ++live_count_;
    } else {
        live_bytes_ -= bytes;
        --live_count_;
    }
}

void LogWriter::update(EntryId id, std::span<const std::byte> record) {
    Entry& entry = entries_[id];
    SDLM_ASSERT(entry.used && !entry.next_gone);
    SDLM_ASSERT(!record.empty() && record.size() <= disk::record_bytes_max);
    count(entry, false);
    entry.next.assign(record.begin(), record.end());
    if (!entry.dirty) {
        entry.dirty = true;
        dirty_.push_back(id);
    }
    count(entry, true);
}

void LogWriter::remove(EntryId id, std::span<const std::byte> gone_record) {
    update(id, gone_record);
    count(entries_[id], false);
    entries_[id].next_gone = true;
}

void LogWriter::recycle(EntryId id) {
    entries_[id] = Entry{};
    free_.push_back(id);
}

// Moves changed entries to the window, each at a new position; no more than the ring can take in one batch.
void LogWriter::take_dirty() {
    const std::uint64_t free_pages = ring_pages_ - pages_used() - 1;
    const std::size_t bytes_max = std::max<std::size_t>(
        std::min<std::uint64_t>(free_pages / 3, ring_pages_ / 8) * disk::page_capacity, 2 * disk::record_bytes_max);
    std::size_t n = 0;
    for (std::size_t bytes = 0; n < dirty_.size() && n < batch_records_max && bytes < bytes_max; ++n) {
        Entry& entry = entries_[dirty_[n]];
        bytes += entry.next.size();
        if (entry.position != 0 && entry.position >= inline_first_) window_bytes_ -= entry.bytes.size();
        entry.bytes.swap(entry.next);
        entry.gone = entry.next_gone;
        entry.position = ++last_;
        entry.dirty = false;
        window_.push_back({dirty_[n], entry.position});
        window_bytes_ += entry.bytes.size();
    }
    dirty_.erase(dirty_.begin(), dirty_.begin() + static_cast<std::ptrdiff_t>(n));
}

// While the whole state fits into the slot no page is needed and a removed key needs no tombstone.
bool LogWriter::compose_complete(Batch& out) {
    std::deque<WindowItem> kept;
    std::size_t bytes = 0;
    for (const WindowItem& item : window_) {
        if (stale(item)) continue;
        Entry& entry = entries_[item.id];
        if (entry.gone) {
            window_bytes_ -= entry.bytes.size();
            recycle(item.id);
            continue;
        }
        bytes += entry.bytes.size();
        kept.push_back(item);
    }
    window_ = std::move(kept);
    SDLM_ASSERT(bytes == window_bytes_);
    if (window_bytes_ > inline_max_) {
        complete_ = false;
        ++epoch_;              // readers of the complete state start again from `tail`
        tail_ = head_;
        return false;
    }
    out.position.complete = true;
    return true;
}

void LogWriter::log(EntryId id) {
    to_log_.push_back(id);
    to_log_bytes_ += entries_[id].bytes.size();
}

// Makes the window fit the slot, oldest first. What leaves it must be in a page.
void LogWriter::shrink_window() {
    while (window_bytes_ > inline_max_ || (!window_.empty() && stale(window_.front()))) {
        SDLM_ASSERT(!window_.empty());
        const WindowItem item = window_.front();
        window_.pop_front();
        inline_first_ = item.position + 1;
        if (stale(item)) continue;
        Entry& entry = entries_[item.id];
        window_bytes_ -= entry.bytes.size();
        if (entry.logged_position != entry.position) log(item.id);
    }
    if (window_.empty()) inline_first_ = last_ + 1;
}

std::uint64_t LogWriter::pages_to_write() const {
    if (to_log_bytes_ == 0) return 0;
    return to_log_bytes_ / (disk::page_capacity - disk::record_bytes_max) + 1;
}

// Moves what is still current out of the oldest pages, so that they can be overwritten by later batches. Paced by
// what this batch writes, so that no batch has to copy the whole ring: above half, 2 pages for each new one; above
// three quarters, 8. Pages of this batch must not touch a page that the slot image on the disk still needs.
void LogWriter::clean_tail() {
    const std::uint64_t used = pages_used();
    const std::uint64_t fresh = pages_to_write();
    if (fresh == 0 || used + fresh <= ring_pages_ / 2) return;
    const std::uint64_t budget = ring_pages_ - used - 1;
    std::uint64_t clean = fresh * (used + fresh > ring_pages_ / 4 * 3 ? 8 : 2) + 1;
    while (!page_entries_.empty() && clean-- > 0 && pages_to_write() + 1 <= budget) {
        for (EntryId id : page_entries_.front()) {
            Entry& entry = entries_[id];
            if (!entry.used || entry.logged_page != tail_) continue;
            const bool current = entry.logged_position == entry.position;
            entry.logged_page = not_logged;
            entry.logged_position = 0;
            if (!current || entry.position >= inline_first_) continue;   // in the window, or waiting in to_log_
            if (!entry.gone) {
                log(id);
            } else {
                recycle(id);                           // no page older than the tombstone is left
            }
        }
        page_entries_.pop_front();
        ++tail_;
    }
}

void LogWriter::fill_pages(Batch& out) {
    if (to_log_.empty()) return;
    // Room in the last page is free: take along unlogged records of the window, oldest first.
    std::size_t room = disk::page_capacity - to_log_bytes_ % disk::page_capacity;
    for (const WindowItem& item : window_) {
        if (stale(item)) continue;
        const Entry& entry = entries_[item.id];
        if (entry.logged_position == entry.position) continue;
        if (entry.bytes.size() + disk::record_bytes_max > room) break;
        room -= entry.bytes.size();
        log(item.id);
    }
    for (EntryId id : to_log_) {
        Entry& entry = entries_[id];
        if (out.pages.empty() || out.pages.back().bytes.size() + entry.bytes.size() > disk::page_capacity) {
            out.pages.emplace_back();
            out.pages.back().number = head_++;
            page_entries_.emplace_back();
        }
        Batch::Page& page = out.pages.back();
        page.bytes.insert(page.bytes.end(), entry.bytes.begin(), entry.bytes.end());
        ++page.count;
        page_entries_.back().push_back(id);
        entry.logged_page = page.number;
        entry.logged_position = entry.position;
    }
    to_log_.clear();
    to_log_bytes_ = 0;
}

void LogWriter::emit_inline(Batch& out) {
    for (const WindowItem& item : window_) {
        if (stale(item)) continue;
        const Entry& entry = entries_[item.id];
        out.inline_bytes.insert(out.inline_bytes.end(), entry.bytes.begin(), entry.bytes.end());
        ++out.inline_count;
    }
    SDLM_ASSERT(out.inline_bytes.size() <= inline_max_);
}

void LogWriter::compose(Batch& out) {
    out = Batch{};
    const std::uint64_t needed_from = tail_;     // by the slot image that lies on the disk now
    take_dirty();
    if (!complete_ && dirty_.empty() && window_bytes_ + 256 < inline_max_ && live_bytes_ <= inline_max_ / 2) {
        // Small again: everything fits into the slot. Entries that lie in pages only come back to the window.
        complete_ = true;
        window_.clear();
        window_bytes_ = 0;
        page_entries_.clear();
        tail_ = head_;
        inline_first_ = 1;
        for (EntryId id = 0; id < entries_.size(); ++id) {
            Entry& entry = entries_[id];
            if (!entry.used || entry.position == 0) continue;
            entry.logged_page = not_logged;
            entry.logged_position = 0;
            if (entry.gone) {
                recycle(id);
                continue;
            }
            window_.push_back({id, entry.position});
            window_bytes_ += entry.bytes.size();
        }
        std::sort(window_.begin(), window_.end(),
                  [](const WindowItem& a, const WindowItem& b) { return a.position < b.position; });
    }
    if (!complete_ || !compose_complete(out)) {
        shrink_window();
        clean_tail();
        fill_pages(out);
        SDLM_ASSERT(head_ - needed_from <= ring_pages_);
    }
    emit_inline(out);
    out.position.epoch = epoch_;
    out.position.tail = tail_;
    out.position.head = head_;
    out.position.inline_first = complete_ ? 1 : inline_first_;
    out.position.last = last_;
}

}  // namespace sdlm::locks
