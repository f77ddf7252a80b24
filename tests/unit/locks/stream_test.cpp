// SPDX-License-Identifier: LGPL-2.1-or-later
// A writer and readers of one record stream: whatever a reader misses, its state equals the writer's at the image it
// applied.
#include <array>
#include <map>

#include <gtest/gtest.h>

#include "disk/base/prng.hpp"
#include "locks/core/log_writer.hpp"
#include "locks/core/replica.hpp"

namespace sdlm::locks {
namespace {

using State = std::map<disk::ResourceKey, std::uint64_t>;      // key -> ticket

std::vector<std::byte> encoded(const disk::ResourceKey& key, std::uint64_t ticket) {
    disk::LockRecord lock;
    if (ticket != 0) {
        lock.phase = disk::Phase::waiting;
        lock.want = disk::Mode::EX;
        lock.ticket = ticket;
    }
    std::vector<std::byte> out(disk::record_bytes_max);
    out.resize(disk::encode(key, lock, out, 0));
    return out;
}

struct Sink final : ReplicaSink {
    std::map<disk::ResourceKey, std::pair<std::uint32_t, std::uint64_t>> records;   // stamp, ticket
    std::uint32_t from = 0;
    void apply(NodeIndex, std::uint32_t stamp, const disk::Record& record) override {
        const auto& entry = std::get<disk::LockEntry>(record);
        if (entry.lock.gone()) records.erase(entry.key);
        else records[entry.key] = {stamp, entry.lock.ticket};
    }
    void valid_from(NodeIndex, std::uint32_t stamp) override { from = stamp; }
    State state() const {
        State out;
        for (const auto& [key, value] : records)
            if (value.first >= from) out[key] = value.second;
        return out;
    }
};

// The node's ring and slot as they lie on the disk, with the rules of overwriting.
struct Disk {
    explicit Disk(std::uint64_t pages) : ring(pages) {}
    struct Page {
        std::uint64_t number = UINT64_MAX;
        std::vector<disk::Record> records;
    };
    std::vector<Page> ring;
    disk::SlotHeader slot;
    std::vector<disk::Record> inline_records;

    static std::vector<disk::Record> decoded(const std::vector<std::byte>& bytes) {
        std::vector<disk::Record> out;
        for (std::size_t at = 0; at < bytes.size();) out.push_back(disk::decode_record(bytes, at).value());
        return out;
    }
    void write(const Batch& batch) {
        for (const Batch::Page& page : batch.pages) {
            EXPECT_LE(page.bytes.size(), disk::page_capacity);
            Page& place = ring[page.number % ring.size()];
            const bool needed = place.number != UINT64_MAX && !slot.stream.complete &&
                                place.number >= slot.stream.tail && place.number < slot.stream.head;
            EXPECT_FALSE(needed) << "page " << place.number << " is overwritten though the slot on the disk needs it";
            place = {page.number, decoded(page.bytes)};
        }
        ++slot.sequence;
        slot.stream = batch.position;
        inline_records = decoded(batch.inline_bytes);
        EXPECT_EQ(inline_records.size(), batch.inline_count);
    }
};

struct Reader {
    Replica replica{3};
    Sink sink;
    State expected;
    // Reads everything that the image of now asks for; false when pages were overwritten.
    bool poll(const Disk& disk) {
        auto records = disk.inline_records;
        const auto range = replica.image(disk.slot, records, sink);
        if (!range) return replica.applied_sequence() == disk.slot.sequence;
        for (std::uint64_t n = range->first; n < range->first + range->count; ++n) {
            const Disk::Page& page = disk.ring[n % disk.ring.size()];
            if (page.number != n) {
                replica.fetch_failed();
                return false;
            }
            replica.pages(1, page.records, sink);
        }
        return true;
    }
};

void run(std::uint64_t seed, std::size_t inline_bytes, std::uint64_t pages, std::size_t keys, unsigned per_batch) {
    Prng prng(seed);
    LogWriter log(inline_bytes, pages);
    Disk disk(pages);
    const Incarnation life{1, seed + 1};
    disk.slot.incarnation = life;
    std::vector<Reader> readers(3);
    for (Reader& r : readers) r.replica.reset(life, r.sink);
    State state;
    std::map<disk::ResourceKey, EntryId> entries;
    std::uint64_t ticket = 0;
    for (int batch_no = 0; batch_no < 400; ++batch_no) {
        // Phases of growth and of shrinking, so that the complete state comes and goes.
        const bool shrink = (batch_no / 50) % 2 == 1;
        for (std::uint64_t i = prng.below(per_batch + 1); i > 0; --i) {
            const disk::ResourceKey key{"ls", "resource-" + std::to_string(prng.below(keys))};
            const bool remove = prng.below(10) < (shrink ? 9U : 3U);
            if (remove) {
                const auto found = entries.find(key);
                if (found == entries.end()) continue;
                log.remove(found->second, encoded(key, 0));
                entries.erase(found);
                state.erase(key);
                continue;
            }
            const auto [found, added] = entries.try_emplace(key, 0);
            if (added) found->second = log.add();
            state[key] = ++ticket;
            log.update(found->second, encoded(key, ticket));
        }
        ASSERT_LE(log.live_bytes(), log.live_bytes_max());
        do {
            Batch batch;
            log.compose(batch);
            disk.write(batch);
        } while (log.dirty());
        for (std::size_t r = 0; r < readers.size(); ++r) {
            if (!prng.one_in(r == 0 ? 1 : (r == 1 ? 4 : 40))) continue;
            ASSERT_TRUE(readers[r].poll(disk)) << "seed " << seed << " batch " << batch_no;
            ASSERT_EQ(readers[r].sink.state(), state) << "seed " << seed << " batch " << batch_no << " reader " << r;
        }
    }
}

TEST(Stream, ReadersReachTheWritersState512) {
    for (std::uint64_t seed = 0; seed < 12; ++seed) run(seed, disk::inline_capacity(512), 15, 300, 40);
}
TEST(Stream, ReadersReachTheWritersState4096) {
    for (std::uint64_t seed = 0; seed < 12; ++seed) run(seed, disk::inline_capacity(4096), 15, 500, 60);
}
TEST(Stream, SmallStatesNeedNoJournal) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) run(seed, disk::inline_capacity(512), 8, 4, 4);
}
TEST(Stream, NearlyFullRing) {
    for (std::uint64_t seed = 0; seed < 12; ++seed) run(seed, disk::inline_capacity(512), 31, 1200, 100);
}

TEST(Stream, OneAcquireAndReleaseStaysInTheSlot) {
    LogWriter log(disk::inline_capacity(512), 15);
    for (std::uint64_t i = 1; i < 1000; ++i) {
        const disk::ResourceKey key{"ls", "r" + std::to_string(i)};
        const EntryId entry = log.add();
        log.update(entry, encoded(key, i));
        Batch batch;
        log.compose(batch);
        ASSERT_TRUE(batch.pages.empty());
        ASSERT_TRUE(batch.position.complete);
        log.remove(entry, encoded(key, 0));
    }
}

// What was changed later is not shown earlier: a batch that cannot take all changes leaves the newest of them out, also
// those of records that it carries again with what they said before.
TEST(Stream, ChangesAreShownInTheirOrder) {
    LogWriter log(320, 8);
    const EntryId mark = log.add();
    log.update(mark, encoded({"ls", "mark"}, 1));
    Batch batch;
    log.compose(batch);
    std::vector<EntryId> entries;
    for (int i = 0; i < 400; ++i) {
        entries.push_back(log.add());
        log.update(entries.back(), encoded({"ls", "r" + std::to_string(i)}, 7));
    }
    log.update(mark, encoded({"ls", "mark"}, 2));         // "all of these are published"
    State seen;
    int batches = 0;
    for (; log.dirty() && batches < 100; ++batches) {
        log.compose(batch);
        std::vector<disk::Record> records;
        for (const Batch::Page& page : batch.pages)
            for (const disk::Record& record : Disk::decoded(page.bytes)) records.push_back(record);
        for (const disk::Record& record : Disk::decoded(batch.inline_bytes)) records.push_back(record);
        for (const disk::Record& record : records) {
            const auto& entry = std::get<disk::LockEntry>(record);
            seen[entry.key] = entry.lock.ticket;
        }
        if (seen[{"ls", "mark"}] == 2) {
            EXPECT_EQ(seen.size(), 401U) << "after batch " << batches;
        }
    }
    EXPECT_GT(batches, 1);
    EXPECT_EQ(seen.size(), 401U);
}

TEST(Replica, MissingPagesAreNeverSkipped) {
    LogWriter log(disk::inline_capacity(512), 15);
    Disk disk(15);
    disk.slot.incarnation = {1, 1};
    Reader reader;
    reader.replica.reset({1, 1}, reader.sink);
    for (std::uint64_t i = 1; i <= 200; ++i) log.update(log.add(), encoded({"ls", "r" + std::to_string(i)}, i));
    while (log.dirty()) {
        Batch batch;
        log.compose(batch);
        disk.write(batch);
    }
    ASSERT_FALSE(disk.slot.stream.complete);
    auto saved = disk.ring[disk.slot.stream.tail % 15];
    disk.ring[disk.slot.stream.tail % 15].number = UINT64_MAX;       // not written yet
    EXPECT_FALSE(reader.poll(disk));
    EXPECT_EQ(reader.replica.applied_sequence(), 0U);
    disk.ring[disk.slot.stream.tail % 15] = saved;
    EXPECT_TRUE(reader.poll(disk));
    EXPECT_EQ(reader.sink.state().size(), 200U);
}

}  // namespace
}  // namespace sdlm::locks
