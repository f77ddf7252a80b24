// SPDX-License-Identifier: LGPL-2.1-or-later
// The timing table of sdlm(7) states what heartbeat/timing.hpp computes.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "heartbeat/timing.hpp"

namespace sdlm::tools::test {
namespace {

// Lines "name<TAB>meaning<TAB>number" between .TS and .TE.
std::map<std::string, std::int64_t> table_of(const std::string& path) {
    std::map<std::string, std::int64_t> found;
    std::ifstream page(path);
    std::string line;
    bool inside = false;
    while (std::getline(page, line)) {
        if (line.starts_with(".TS")) inside = true;
        if (line.starts_with(".TE")) inside = false;
        const auto first = line.find('\t');
        const auto last = line.rfind('\t');
        if (!inside || first == last) continue;
        std::istringstream number(line.substr(last + 1));
        std::int64_t ms = 0;
        if (number >> ms) found[line.substr(0, first)] = ms;
    }
    return found;
}

TEST(ManPage, TimingTableIsThatOfTheCode) {
    const heartbeat::Timing& t = heartbeat::default_timing;
    const std::map<std::string, std::int64_t> expected{
        {"heartbeat", t.heartbeat.ms()}, {"lease", t.lease.ms()},
        {"io_timeout", t.io_timeout.ms()}, {"stop", t.stop().ms()},
        {"dead", t.dead().ms()}, {"failover_bound", t.failover_bound().ms()},
        {"answer", t.answer().ms()}, {"adopt", t.adopt().ms()}};
    EXPECT_EQ(table_of(SDLM_SOURCE_DIR "/tools/man/sdlm.7"), expected);
}

}  // namespace
}  // namespace sdlm::tools::test
