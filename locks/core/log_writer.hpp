// SPDX-License-Identifier: LGPL-2.1-or-later
// The own record stream: which records go inline into the slot, which into journal pages, and which old pages are
// still needed. State at any time = replay(pages [tail, head)) then inline; see disk/FORMAT.md and locks/PROTOCOL.md
// §3. Pure; knows records as encoded bytes only.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "disk/base/limits.hpp"
#include "disk/format/page.hpp"
#include "disk/format/slot.hpp"

namespace sdlm::locks {

using EntryId = std::uint32_t;
inline constexpr EntryId no_entry = 0xffffffff;

// One batch: what the next slot write and the page writes beside it carry.
struct Batch {
    disk::StreamPosition position;
    std::vector<std::byte> inline_bytes;
    std::uint32_t inline_count = 0;
    struct Page {
        std::uint64_t number = 0;
        std::uint32_t count = 0;
        std::vector<std::byte> bytes;     // encoded records, at most disk::page_capacity
    };
    std::vector<Page> pages;              // consecutive numbers
};

class LogWriter {
public:
    // `inline_bytes`: room in the slot; `ring_pages`: journal pages of the node (at least 8).
    LogWriter(std::size_t inline_bytes, std::uint64_t ring_pages);

    EntryId add();
    // The newest version of an entry's record. Goes out with the next batch.
    void update(EntryId id, std::span<const std::byte> record);
    // As update, with a record that removes the key; the id is dead and is recycled once no reader can need it.
    void remove(EntryId id, std::span<const std::byte> gone_record);

    bool dirty() const { return !dirty_.empty(); }
    // The next batch. At most `batch_records_max` changed records; dirty() may stay true. The previous batch is
    // durable by then (one batch in flight).
    void compose(Batch& out);
    // Changes of an entry that are part of a composed batch have been taken; true when none is left over for later.
    bool pending(EntryId id) const { return entries_[id].dirty; }

    std::size_t live_bytes() const { return live_bytes_; }
    // Live bytes up to this can be kept whatever happens (5/8 of the ring); callers refuse new locks beyond.
    std::size_t live_bytes_max() const { return ring_pages_ * disk::page_capacity / 8 * 5; }
    std::uint64_t pages_used() const { return head_ - tail_; }

    static constexpr std::size_t batch_records_max = 1024;

private:
    static constexpr std::uint64_t not_logged = UINT64_MAX;
    struct Entry {
        std::vector<std::byte> bytes;           // its newest composed version ...
        std::uint64_t position = 0;             // ... and the position of that; 0 = never composed
        std::vector<std::byte> next;            // while dirty: not shown before all that was changed before it
        std::uint64_t logged_position = 0;      // version that lies in logged_page
        std::uint64_t logged_page = not_logged;
        bool dirty = false;
        bool gone = false;                      // the composed version removes the key
        bool next_gone = false;                 // the newest one does
        bool used = false;
    };
    struct WindowItem {
        EntryId id;
        std::uint64_t position;
    };

    void take_dirty();
    bool compose_complete(Batch& out);
    void shrink_window();
    void clean_tail();
    void log(EntryId id);
    std::uint64_t pages_to_write() const;
    void fill_pages(Batch& out);
    void emit_inline(Batch& out);
    void recycle(EntryId id);
    void count(const Entry& entry, bool add);
    bool stale(const WindowItem& item) const { return entries_[item.id].position != item.position; }

    std::size_t inline_max_;
    std::uint64_t ring_pages_;
    std::vector<Entry> entries_;
    std::vector<EntryId> free_;
    std::vector<EntryId> dirty_;
    std::deque<WindowItem> window_;             // by position; holds every unlogged entry
    std::size_t window_bytes_ = 0;              // of items that are not stale
    std::size_t live_bytes_ = 0;                // of entries that are not gone
    std::size_t live_count_ = 0;
    std::deque<std::vector<EntryId>> page_entries_;   // pages [tail, head)
    std::vector<EntryId> to_log_;
    std::size_t to_log_bytes_ = 0;
    bool complete_ = true;
    std::uint32_t epoch_ = 1;
    std::uint64_t tail_ = 0, head_ = 0;
    std::uint64_t last_ = 0;                    // position of the newest record
    std::uint64_t inline_first_ = 1;
};

}  // namespace sdlm::locks
