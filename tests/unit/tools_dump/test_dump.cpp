// SPDX-License-Identifier: LGPL-2.1-or-later
#include <filesystem>
#include <fstream>

#include "disk/base/prng.hpp"
#include "tests/unit/tools_dump/dump_fixture.hpp"

namespace sdlm::tools {
namespace {

using disk::Mode;
using nlohmann::json;

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (part) << " is not in\n" << (text)
#define EXPECT_HAS_NOT(text, part) EXPECT_EQ((text).find(part), std::string::npos) << (part) << " is in\n" << (text)

class DumpTest4k : public DumpTest {
protected:
    DumpTest4k() : DumpTest(4096) {}
};

disk::LockEntry waiting_lock() {
    disk::LockEntry entry = lock_entry("web", std::string("a\n\x01/b", 5), Mode::PR);
    entry.lock.want = Mode::EX;
    entry.lock.phase = disk::Phase::waiting;
    entry.lock.convert = true;
    entry.lock.ticket = 41;
    entry.lock.answered = 40;
    entry.lock.lvb.version = 3;
    entry.lock.lvb.valid = false;
    entry.lock.lvb.length = 2;
    entry.lock.lvb.bytes[0] = std::byte{0xca};
    entry.lock.lvb.bytes[1] = std::byte{0xfe};
    return entry;
}

constexpr disk::StreamPosition complete{
    .epoch = 1, .complete = true, .tail = 0, .head = 0, .inline_first = 1, .last = 4};

disk::StreamPosition journal(std::uint64_t tail, std::uint64_t head, std::uint64_t last) {
    return {.epoch = 1, .complete = false, .tail = tail, .head = head, .inline_first = last, .last = last};
}

TEST_F(DumpTest, AFreshVolume) {
    const std::string before = content();
    ASSERT_EQ(run(), 0) << err_;
    for (const char* part : {"11220000-0000-0000-0000-000000000000", "\"lab\"", "superblock  good",
                             "blocks of 512 bytes", "4 slots", "lease 1000 ms", "2023-11-14 22:13:20 UTC",
                             "slots 0 to 3: never used"})
        EXPECT_HAS(out_, part);
    EXPECT_EQ(err_, "");
    EXPECT_EQ(content(), before);
}

TEST_F(DumpTest, OneSlotInFull) {
    write_slot(1, {waiting_lock(), disk::MemberEntry{"web", {}}, disk::EvictEntry{3, {{7, 8}, 99, false}},
                   disk::FenceEntry{2, {{5, 6}, false}}},
               complete);
    write_card(1, "alpha\xff");
    write_card(0, "beta");
    ASSERT_EQ(run({.slot = 1}), 0) << err_;
    for (const char* part :
         {"slot 1 (offset 0x10200): live", "alpha\\xff", "pid 4711", "generation 2, nonce 0x4d",
          "sequence 812", "ended: evicted", "all in the slot", "member of    web",
          "has evicted  node 3, generation 7", "last sequence 99", "fences       node 2", "a\\x0a\\x01/b",
          "v3 NOT VALID cafe", "41", "40"})
        EXPECT_HAS(out_, part);
    EXPECT_HAS_NOT(out_, "PROBLEM");
    EXPECT_HAS_NOT(out_, "slot 0");
    EXPECT_HAS_NOT(out_, "beta");
}

TEST_F(DumpTest, JsonHasTheSame) {
    write_slot(1, {waiting_lock(), disk::MemberEntry{"web", {}}, disk::EvictEntry{3, {{7, 8}, 99, false}}}, complete);
    const json all = run_json();
    ASSERT_TRUE(all.is_object()) << out_;
    EXPECT_EQ(all["volume"]["uuid"], "11220000-0000-0000-0000-000000000000");
    EXPECT_EQ(all["volume"]["from_backup"], false);
    ASSERT_EQ(all["slots"].size(), 4U);
    const json& slot = all["slots"][1];
    EXPECT_EQ(slot["state"], "live");
    EXPECT_EQ(slot["offset"], 0x10200);
    EXPECT_EQ(slot["lockspaces"], json::array({"web"}));
    EXPECT_EQ(slot["evictions"][0]["last_sequence"], 99);
    ASSERT_EQ(slot["locks"].size(), 1U);
    const json& lock = slot["locks"][0];
    EXPECT_EQ(lock["name"], "a\\x0a\\x01/b");
    EXPECT_EQ(lock["held"], "PR");
    EXPECT_EQ(lock["want"], "EX");
    EXPECT_EQ(lock["phase"], "waiting");
    EXPECT_EQ(lock["ticket"], 41);
    EXPECT_EQ(lock["flags"], json::array({"convert"}));
    EXPECT_EQ(lock["lvb"], (json{{"version", 3}, {"valid", false}, {"hex", "cafe"}}));
    EXPECT_EQ(all["slots"][0]["state"], "free");
}

TEST_F(DumpTest, ReplaysTheJournalTheNewestRecordWins) {
    const auto one = [](const char* name, Mode mode) { return disk::Record{lock_entry("d", name, mode)}; };
    write_page(2, 14, {one("a", Mode::PR), one("b", Mode::PR), one("c", Mode::PR), one("d", Mode::PR)});
    write_page(2, 15, {one("b", Mode::CW), one("c", Mode::NL), disk::MemberEntry{"d", {}}});    // ring place 0
    write_page(2, 13, {one("old", Mode::EX)});
    write_slot(2, {one("d", Mode::EX)}, journal(14, 16, 8));
    const json slot = run_json()["slots"][2];
    EXPECT_EQ(slot["problems"], json::array());
    std::map<std::string, std::string> held;
    for (const json& lock : slot["locks"]) held[lock["name"]] = lock["held"];
    EXPECT_EQ(held, (std::map<std::string, std::string>{{"a", "PR"}, {"b", "CW"}, {"d", "EX"}}));
    EXPECT_EQ(slot["lockspaces"], json::array({"d"}));
    ASSERT_EQ(run(), 0);
    EXPECT_HAS(out_, "journal pages 14 to 15");
}

TEST_F(DumpTest, ADamagedPageIsNamedAndTheRestShown) {
    write_page(2, 0, {lock_entry("d", "lost", Mode::PR)});
    write_page(2, 1, {lock_entry("d", "kept", Mode::PR)});
    write_slot(2, {lock_entry("d", "newest", Mode::EX)}, journal(0, 3, 3));
    flip_bit(superblock_.geometry.page_offset(2, 0) + 100);
    ASSERT_EQ(run(), 0) << err_;
    EXPECT_HAS(out_, "PROBLEM      journal page 0 (offset 0x32000): bad checksum in field page.crc");
    EXPECT_HAS(out_, "PROBLEM      journal page 2 (offset 0x34000): bad magic number in field page.magic");
    EXPECT_HAS(out_, "kept");
    EXPECT_HAS(out_, "newest");
    EXPECT_HAS_NOT(out_, "lost");
}

TEST_F(DumpTest, APageOfAnEarlierLifeIsNotReplayed) {
    write_page(2, 0, {lock_entry("d", "old", Mode::PR)});
    life_.nonce = 78;
    write_slot(2, {}, journal(0, 1, 1));
    ASSERT_EQ(run(), 0);
    EXPECT_HAS(out_, "block is of an older generation in field page.generation");
    EXPECT_HAS_NOT(out_, "  old  ");
}

TEST_F(DumpTest, ADamagedSlotIsNamed) {
    write_slot(1, {waiting_lock()}, complete);
    write_card(1, "alpha");
    flip_bit(superblock_.geometry.slot_offset(1) + 0x38);
    write_slot(3, {waiting_lock()}, complete);
    ASSERT_EQ(run(), 0) << err_;
    EXPECT_HAS(out_, "slot 1 (offset 0x10200): DAMAGED");
    EXPECT_HAS(out_, "PROBLEM      slot 1 (offset 0x10200): bad checksum in field slot.crc");
    EXPECT_HAS(out_, "\"alpha\"");
    EXPECT_HAS(out_, "slot 3 (offset 0x10600): live");
    EXPECT_EQ(run_json()["slots"][1]["state"], "damaged");
}

TEST_F(DumpTest, AForeignSlotAndAForeignCardAreNamed) {
    const Uuid own = superblock_.uuid;
    superblock_.uuid = Uuid{{9}};
    write_slot(1, {}, complete);
    write_card(2, "x");
    superblock_.uuid = own;
    ASSERT_EQ(run(), 0) << err_;
    EXPECT_HAS(out_, "slot 1 (offset 0x10200): block belongs to another volume in field slot.volume");
    EXPECT_HAS(out_, "node card 2 (offset 0x31000): block belongs to another volume in field card.volume");
}

TEST_F(DumpTest, AnImpossibleStreamPositionIsNamed) {
    write_slot(1, {}, journal(0, UINT64_MAX, 0));
    ASSERT_EQ(run(), 0) << err_;
    EXPECT_HAS(out_, "value out of range in field slot.tail");
}

TEST_F(DumpTest, TheBackupIsUsed) {
    write_slot(1, {waiting_lock()}, complete);
    flip_bit(0x40);
    ASSERT_EQ(run(), 0) << err_;
    EXPECT_HAS(out_, "superblock  BACKUP");
    EXPECT_HAS(out_, "bad checksum in field superblock.crc");
    EXPECT_HAS(out_, "slot 1 (offset 0x10200): live");
    EXPECT_EQ(run_json()["volume"]["from_backup"], true);
}

TEST_F(DumpTest, WithoutAnySuperblockItSaysSo) {
    flip_bit(0x40);
    flip_bit(superblock_.geometry.backup_offset() + 0x40);
    for (const bool as_json : {false, true}) {
        EXPECT_EQ(run({.slot = {}, .json = as_json}), 1);
        EXPECT_EQ(out_, "");
        EXPECT_HAS(err_, "offset 0x0");
        EXPECT_HAS(err_, "bad checksum in field superblock.crc");
    }
    zero(0, 4096);
    zero(superblock_.geometry.backup_offset(), 4096);
    EXPECT_EQ(run(), 1);
    EXPECT_HAS(err_, "not an sdlm volume");
}

TEST_F(DumpTest, ATruncatedImageShowsWhatIsLeft) {
    write_slot(0, {waiting_lock()}, complete);
    write_slot(3, {}, journal(0, 1, 1));
    std::filesystem::resize_file(path_, superblock_.geometry.area_offset(1));
    ASSERT_EQ(run(), 0) << err_;
    EXPECT_HAS(out_, "WARNING");
    EXPECT_HAS(out_, "truncated");
    EXPECT_HAS(out_, "slot 0 (offset 0x10000): live");
    EXPECT_HAS(out_, "journal page 0 (offset 0x42000): short transfer");
    std::filesystem::resize_file(path_, 66000);          // in the middle of slot 0
    ASSERT_EQ(run(), 0) << err_;
    EXPECT_HAS(out_, "slot 0 (offset 0x10000): short transfer");
    std::filesystem::resize_file(path_, 100);
    EXPECT_EQ(run(), 1);
    EXPECT_HAS(err_, "too small");
}

TEST_F(DumpTest, AnUnknownSlotNumber) {
    EXPECT_EQ(run({.slot = 4}), 1);
    EXPECT_HAS(err_, "there is no slot 4; the volume has slots 0 to 3");
}

TEST_F(DumpTest, Pages) {
    write_page(2, 0, {lock_entry("d", "old", Mode::PR)});
    write_page(2, 1, {lock_entry("d", "new", Mode::EX), disk::EvictEntry{1, {{2, 3}, 4, true}}});
    write_slot(2, {}, journal(1, 2, 3));
    write_page(3, 0, {});
    flip_bit(superblock_.geometry.page_offset(3, 0) + 200);
    ASSERT_EQ(run({.slot = 2, .json = false, .pages = true}), 0) << err_;
    EXPECT_HAS(out_, "journal page at place 0 (offset 0x32000): number 0 of node 2");
    EXPECT_HAS(out_, "not needed any more, 1 records");
    EXPECT_HAS(out_, "current, 2 records");
    EXPECT_HAS(out_, "evict  node 1, generation 2, nonce 0x3, last sequence 4 (retracted)");
    const json all = run_json({.slot = {}, .json = true, .pages = true});
    EXPECT_EQ(all["slots"][2]["pages"].size(), 2U);
    EXPECT_EQ(all["slots"][2]["pages"][1]["current"], true);
    EXPECT_EQ(all["slots"][2]["pages"][1]["records"][1]["kind"], "evict");
    EXPECT_HAS(all["slots"][3]["pages"][0]["problem"].get<std::string>(), "bad checksum");
}

TEST_F(DumpTest4k, BlocksOf4096) {
    write_slot(2, {waiting_lock()}, complete);
    ASSERT_EQ(run(), 0) << err_;
    EXPECT_HAS(out_, "slot 2 (offset 0x12000): live");
    EXPECT_HAS(out_, "v3 NOT VALID cafe");
}

TEST_F(DumpTest, NoiseNeverCrashes) {
    write_card(1, "alpha");
    Prng prng(5);
    for (int round = 0; round < 20; ++round) {
        write_slot(1, {waiting_lock()}, journal(0, 5, 8));
        for (std::uint64_t page = 0; page < 5; ++page) write_page(1, page, {lock_entry("d", "x", Mode::PR)});
        for (int i = 0; i < 40; ++i) flip_bit(4096 + prng.below(superblock_.geometry.volume_bytes - 8192));
        ASSERT_EQ(run({.slot = {}, .json = round % 2 == 0, .pages = true}), 0) << err_;
    }
}

}  // namespace
}  // namespace sdlm::tools
