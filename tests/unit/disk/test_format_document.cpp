// SPDX-License-Identifier: LGPL-2.1-or-later
// disk/FORMAT.md against the code: each table row against offsetof and sizeof, the numbers of magics and flags, and
// the example against the golden image.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "disk/format/layout.hpp"

namespace sdlm::disk {
namespace {

struct Field {
    std::string name;
    std::size_t offset;
    std::size_t size;
    friend bool operator==(const Field&, const Field&) = default;
};
void PrintTo(const Field& field, std::ostream* out) {
    *out << field.name << " at 0x" << std::hex << field.offset << std::dec << ", " << field.size << " bytes";
}

#define FIELD(type, member) \
    Field { #member, offsetof(layout::type, member), sizeof(layout::type::member) }

struct Struct {
    std::size_t size;
    std::vector<Field> fields;
};

const std::map<std::string, Struct>& structs() {
    static const std::map<std::string, Struct> all{
        {"BlockHead",
         {sizeof(layout::BlockHead),
          {FIELD(BlockHead, crc), FIELD(BlockHead, magic), FIELD(BlockHead, version), FIELD(BlockHead, node),
           FIELD(BlockHead, reserved), FIELD(BlockHead, offset), FIELD(BlockHead, volume)}}},
        {"Superblock",
         {sizeof(layout::Superblock),
          {FIELD(Superblock, head), FIELD(Superblock, compat), FIELD(Superblock, ro_compat),
           FIELD(Superblock, incompat), FIELD(Superblock, block_bytes), FIELD(Superblock, slot_count),
           FIELD(Superblock, heartbeat_ms), FIELD(Superblock, area_bytes), FIELD(Superblock, volume_bytes),
           FIELD(Superblock, lease_ms), FIELD(Superblock, io_timeout_ms), FIELD(Superblock, created_unix),
           FIELD(Superblock, label), FIELD(Superblock, reserved)}}},
        {"SlotHeader",
         {sizeof(layout::SlotHeader),
          {FIELD(SlotHeader, head), FIELD(SlotHeader, generation), FIELD(SlotHeader, nonce),
           FIELD(SlotHeader, sequence), FIELD(SlotHeader, host), FIELD(SlotHeader, boot),
           FIELD(SlotHeader, previous_generation), FIELD(SlotHeader, previous_nonce),
           FIELD(SlotHeader, previous_sequence), FIELD(SlotHeader, tail), FIELD(SlotHeader, head_page),
           FIELD(SlotHeader, inline_first), FIELD(SlotHeader, last), FIELD(SlotHeader, epoch),
           FIELD(SlotHeader, record_count), FIELD(SlotHeader, record_bytes), FIELD(SlotHeader, state),
           FIELD(SlotHeader, previous_end), FIELD(SlotHeader, flags), FIELD(SlotHeader, write_us),
           FIELD(SlotHeader, read_us), FIELD(SlotHeader, clock), FIELD(SlotHeader, reserved)}}},
        {"PageHeader",
         {sizeof(layout::PageHeader),
          {FIELD(PageHeader, head), FIELD(PageHeader, generation), FIELD(PageHeader, nonce),
           FIELD(PageHeader, number), FIELD(PageHeader, record_count), FIELD(PageHeader, record_bytes),
           FIELD(PageHeader, reserved)}}},
        {"NodeCard",
         {sizeof(layout::NodeCard),
          {FIELD(NodeCard, head), FIELD(NodeCard, generation), FIELD(NodeCard, nonce), FIELD(NodeCard, host),
           FIELD(NodeCard, started_unix), FIELD(NodeCard, node_name), FIELD(NodeCard, host_name),
           FIELD(NodeCard, daemon_version), FIELD(NodeCard, pid), FIELD(NodeCard, reserved)}}},
        {"RecordHead",
         {sizeof(layout::RecordHead),
          {FIELD(RecordHead, kind), FIELD(RecordHead, length8), FIELD(RecordHead, flags), FIELD(RecordHead, modes),
           FIELD(RecordHead, phase), FIELD(RecordHead, lockspace_bytes), FIELD(RecordHead, name_bytes),
           FIELD(RecordHead, subject)}}},
        {"LvbHead",
         {sizeof(layout::LvbHead), {FIELD(LvbHead, version), FIELD(LvbHead, length), FIELD(LvbHead, reserved)}}},
        {"EvictBody",
         {sizeof(layout::EvictBody),
          {FIELD(EvictBody, generation), FIELD(EvictBody, nonce), FIELD(EvictBody, last_sequence)}}},
    };
    return all;
}

std::string read(const std::string& path) {
    std::ifstream in(path);
    EXPECT_TRUE(in) << path << " cannot be read";
    std::stringstream content;
    content << in.rdbuf();
    return content.str();
}

const std::string& document() {
    static const std::string text = read(std::string(SDLM_SOURCE_DIR) + "/disk/FORMAT.md");
    return text;
}

std::vector<std::string> cells(const std::string& row) {
    std::vector<std::string> out;
    std::istringstream in(row);
    std::string cell;
    std::getline(in, cell, '|');
    while (std::getline(in, cell, '|')) {
        const auto first = cell.find_first_not_of(' ');
        const auto last = cell.find_last_not_of(' ');
        out.push_back(first == std::string::npos ? "" : cell.substr(first, last - first + 1));
    }
    return out;
}

// The rows of the table behind the next line that starts with `begin`; the rest of that line goes to `title`.
std::vector<std::vector<std::string>> rows_after(std::istream& in, const std::string& begin, std::string& title) {
    std::vector<std::vector<std::string>> rows;
    std::string line;
    while (std::getline(in, line) && !line.starts_with(begin)) {}
    if (!in) return rows;
    title = line.substr(begin.size());
    while (std::getline(in, line) && !line.starts_with("|")) {}
    std::getline(in, line);                                     // the rule under the heading
    while (std::getline(in, line) && line.starts_with("|")) rows.push_back(cells(line));
    return rows;
}

std::size_t number(const std::string& text) { return std::stoull(text, nullptr, 0); }

TEST(FormatDocument, TablesAreTheStructs) {
    std::istringstream in(document());
    std::map<std::string, Struct> found;
    for (std::string title;;) {
        const auto rows = rows_after(in, "<!-- table ", title);
        if (rows.empty()) break;
        std::string name;
        std::size_t size = 0;
        std::istringstream(title) >> name >> size;
        Struct& one = found[name];
        one.size = size;
        for (const auto& row : rows) {
            ASSERT_EQ(row.size(), 5U) << name;
            one.fields.push_back({row[2], number(row[0]), number(row[1])});
        }
    }
    ASSERT_EQ(found.size(), structs().size());
    for (const auto& [name, expected] : structs()) {
        SCOPED_TRACE(name);
        EXPECT_EQ(found[name].size, expected.size);
        EXPECT_EQ(found[name].fields, expected.fields);
    }
}

TEST(FormatDocument, TablesHaveNoHole) {
    for (const auto& [name, one] : structs()) {
        std::size_t end = 0;
        for (const Field& field : one.fields) {
            EXPECT_EQ(field.offset, end) << name << "." << field.name;
            end = field.offset + field.size;
        }
        EXPECT_EQ(end, one.size) << name;
    }
}

TEST(FormatDocument, Magics) {
    std::istringstream in(document());
    std::string title;
    std::map<std::string, std::size_t> found;
    for (const auto& row : rows_after(in, "<!-- magics", title)) {
        found[row.at(0)] = number(row.at(1));
        std::string ascii;
        for (unsigned shift = 0; shift < 32; shift += 8) ascii += static_cast<char>(number(row.at(1)) >> shift);
        EXPECT_EQ(ascii, row.at(2));
    }
    const std::map<std::string, std::size_t> expected{{"superblock", layout::superblock_magic},
                                                      {"slot", layout::slot_magic},
                                                      {"page", layout::page_magic},
                                                      {"card", layout::card_magic}};
    EXPECT_EQ(found, expected);
}

TEST(FormatDocument, Flags) {
    std::istringstream in(document());
    std::string title;
    std::map<std::string, std::size_t> found;
    for (const auto& row : rows_after(in, "<!-- flags", title)) found[row.at(0)] = number(row.at(1));
    const std::map<std::string, std::size_t> expected{
        {"noqueue", layout::lock_noqueue},       {"convert", layout::lock_convert},
        {"noqueue_bast", layout::lock_noqueue_bast}, {"interest", layout::lock_interest},
        {"orphan_lvb", layout::lock_orphan_lvb}, {"lvb_valid", layout::lock_lvb_valid},
        {"has_answered", layout::lock_has_answered}, {"has_tag", layout::lock_has_tag},
        {"has_lvb", layout::lock_has_lvb},       {"waits", layout::lock_waits_mask},
        {"spared", layout::lock_spared}};
    EXPECT_EQ(found, expected);
    std::size_t known = 0;
    for (const auto& [name, bit] : found) known |= bit;
    EXPECT_EQ(known, layout::lock_flags_known);
}

TEST(FormatDocument, TheExampleIsTheGoldenSlot) {
    const std::string image = read(std::string(SDLM_SOURCE_DIR) + "/tests/golden/slot_512.hex");
    ASSERT_FALSE(image.empty());
    EXPECT_NE(document().find("```\n" + image + "```\n"), std::string::npos);
}

}  // namespace
}  // namespace sdlm::disk
