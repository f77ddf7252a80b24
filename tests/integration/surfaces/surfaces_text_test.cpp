// SPDX-License-Identifier: LGPL-2.1-or-later
// The kernel's debug formats, field by field.
#include <gtest/gtest.h>

#include "tools/sdlmd/surfaces_text.hpp"

namespace sdlm::tools {
namespace {

using dlm::LockRow;

const std::string header = "id nodeid remid pid xid exflags flags sts grmode rqmode time_us r_nodeid r_len r_name\n";

LockRow granted_row(std::string_view name) {
    LockRow row;
    row.id = 0x1f;
    row.pid = 4711;
    row.xid = 9;
    row.flags = 0x85;
    row.status = 2;
    row.granted = 5;
    row.time_us = 1234;
    row.name = name;
    return row;
}

TEST(SurfacesText, LocksHaveThirteenFieldsAndAQuotedName) {
    EXPECT_EQ(locks_text({}), header);
    std::vector<LockRow> rows{granted_row("a b")};
    EXPECT_EQ(locks_text(rows), header + "1f 0 0 4711 9 85 1 2 5 -1 1234 0 3 \"a b\"\n");
    rows[0].status = 3;
    rows[0].wanted = 3;
    rows[0].orphan = true;
    EXPECT_EQ(locks_text(rows), header + "1f 0 0 4711 9 85 3 3 5 3 1234 0 3 \"a b\"\n");
}

TEST(SurfacesText, BytesThatWouldEndALineOrTheQuotesAreDots) {
    const std::vector<LockRow> rows{granted_row({"a\n\"\0\x80", 5})};
    EXPECT_EQ(locks_text(rows), header + "1f 0 0 4711 9 85 1 2 5 -1 1234 0 5 \"a....\"\n");
}

TEST(SurfacesText, AllListsResourcesWithValueAndQueues) {
    dlm::ResourceRow plain, binary;
    plain.name = "name";
    plain.granted = {granted_row("name")};
    plain.blocked = dlm::Mode::EX;
    LockRow waiting = granted_row("name");
    waiting.id = 0x20;
    waiting.status = 1;
    waiting.granted = -1;
    waiting.wanted = 5;
    plain.waiting = {waiting};
    binary.name = {"p\0", 2};
    binary.lvb[0] = std::byte{0xab};
    binary.lvb_version = 7;
    binary.lvb_valid = false;
    const std::vector<dlm::ResourceRow> rows{plain, binary};
    const std::vector<dlm::WaiterRow> waiters{{.id = 0x20, .converts = false, .time_us = 1, .name = "name"}};
    std::string zeros;
    for (int i = 1; i < 32; ++i) zeros += " 00";
    EXPECT_EQ(all_text(rows, waiters, Instant{5'000'000}),
              "version rsb 1.1 lvb 1.1 lkb 1.1\n"
              "rsb 0000000000000001 0 0 0 0 0 0 4 str name\n"
              "lkb 1f 0 0 4711 9 85 1 2 5 -1 5 0 0 0 3766000 0\n"
              "lkb 20 0 0 4711 9 85 1 1 -1 5 0 0 1 0 3766000 0\n"
              "rsb 0000000000000002 0 0 2 0 0 0 2 hex 70 00\n"
              "lvb 7 32 ab" + zeros + "\n");
}

TEST(SurfacesText, WaitersAndToss) {
    const std::vector<dlm::WaiterRow> rows{{.id = 0xa, .converts = false, .time_us = 0, .name = "x"},
                                           {.id = 0xb, .converts = true, .time_us = 0, .name = "y\n"}};
    EXPECT_EQ(waiters_text(rows), "a 1 0 x\nb 2 0 y.\n");
    EXPECT_EQ(toss_text(), "version rsb 1.0\n");
}

}  // namespace
}  // namespace sdlm::tools
