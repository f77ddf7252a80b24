// SPDX-License-Identifier: LGPL-2.1-or-later
// The checker must see what it is there for, and nothing else.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/sim/lock_checker.hpp"
#include "tests/sim/violation.hpp"

namespace sdlm::sim {
namespace {

using disk::Mode;

constexpr heartbeat::Timing timing{milliseconds(250), milliseconds(2'000), milliseconds(500)};

disk::Lvb value(std::uint64_t write_id, std::uint64_t version, bool valid = true) {
    disk::Lvb lvb;
    lvb.version = version;
    lvb.valid = valid;
    const auto bytes = lvb_bytes(write_id);
    lvb.length = static_cast<std::uint8_t>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), lvb.bytes.begin());
    return lvb;
}

class LockCheckerTest : public testing::Test {
protected:
    LockCheckerTest() : a(live(0)), b(live(1)) {}

    LifeId live(std::uint16_t host) {
        const LifeId id = lives.begin(host, 1, {}, 0);
        lives.get(id).slot = host;
        lives.get(id).joined = true;
        lives.slot_write_done(id, disk::SlotState::live, true, Instant{0}, Instant{1});
        return id;
    }
    void open_and_grant(LifeId life, Mode mode, const disk::Lvb& lvb, Time now) {
        checker.opened(life, 0, true, now);
        checker.granted(life, 0, mode, lvb, now);
    }

    disk::Geometry geometry{512, 4, 64 * 1024, 0};
    Lives lives{geometry, timing};
    LockChecker checker{lives, timing, 1};
    LifeId a, b;
};

TEST_F(LockCheckerTest, AcceptsCompatibleAndReportsConflictingUse) {
    open_and_grant(a, Mode::PR, {}, ms(1));
    EXPECT_NO_THROW(open_and_grant(b, Mode::PR, {}, ms(2)));
    checker.lowered(a, 0, Mode::NL, ms(3));
    EXPECT_NO_THROW(checker.granted(b, 0, Mode::EX, {}, ms(4)));
    EXPECT_THROW(checker.granted(a, 0, Mode::CR, {}, ms(5)), Violation);
}

TEST_F(LockCheckerTest, CrashedLifeUsesUntilItsLeaseAndStopTimeAreOver) {
    open_and_grant(a, Mode::EX, {}, ms(1));
    lives.end(a, LifeEnd::crashed, ms(2));
    checker.life_ended(a, ms(2));
    lives.slot_write_done(b, disk::SlotState::live, true, Instant{ms(1'500)}, Instant{ms(1'501)});
    checker.opened(b, 0, true, ms(3));
    EXPECT_THROW(checker.granted(b, 0, Mode::EX, {}, ms(2'100)), Violation);
    EXPECT_NO_THROW(checker.granted(b, 0, Mode::EX, {}, ms(2'251)));
}

TEST_F(LockCheckerTest, CrashedLifeUsesNothingOnceItsHostStartsAgain) {
    open_and_grant(a, Mode::EX, {}, ms(1));
    lives.end(a, LifeEnd::crashed, ms(2));
    checker.life_ended(a, ms(2));
    static_cast<void>(lives.begin(0, 1, {}, ms(10)));
    EXPECT_NO_THROW(open_and_grant(b, Mode::EX, {}, ms(11)));
}

TEST_F(LockCheckerTest, GrantAfterTheLeaseIsReported) {
    checker.opened(a, 0, true, ms(1));
    EXPECT_THROW(checker.granted(a, 0, Mode::CR, {}, ms(2'001)), Violation);
}

TEST_F(LockCheckerTest, OlderValueWithoutTheFlagIsReported) {
    open_and_grant(a, Mode::EX, {}, ms(1));
    const auto first = checker.next_write_id();
    checker.wrote(a, 0, first, true, ms(2));
    const auto second = checker.next_write_id();
    checker.wrote(a, 0, second, true, ms(3));
    checker.lowered(a, 0, Mode::NL, ms(4));
    EXPECT_THROW(open_and_grant(b, Mode::PR, value(first, 1), ms(5)), Violation);
    EXPECT_NO_THROW(open_and_grant(b, Mode::PR, value(second, 2), ms(6)));
}

TEST_F(LockCheckerTest, NotValidNeedsADeath) {
    open_and_grant(a, Mode::EX, {}, ms(1));
    const auto id = checker.next_write_id();
    checker.wrote(a, 0, id, true, ms(2));
    checker.lowered(a, 0, Mode::NL, ms(3));
    EXPECT_THROW(open_and_grant(b, Mode::PR, value(id, 1, false), ms(4)), Violation);
    lives.end(a, LifeEnd::lost, ms(5));
    checker.life_ended(a, ms(5));
    EXPECT_NO_THROW(open_and_grant(b, Mode::PR, value(id, 1, false), ms(6)));
}

TEST_F(LockCheckerTest, ZerosAreRightOnlyAfterAllInterestIsGone) {
    open_and_grant(a, Mode::EX, {}, ms(1));
    const auto id = checker.next_write_id();
    checker.wrote(a, 0, id, true, ms(2));
    checker.lowered(a, 0, Mode::NL, ms(3));
    EXPECT_THROW(open_and_grant(b, Mode::PR, {}, ms(4)), Violation);
    checker.closed(b, 0, ms(5));
    checker.closed(a, 0, ms(6));
    EXPECT_NO_THROW(open_and_grant(b, Mode::PR, {}, ms(7)));
    checker.wrote(b, 0, checker.next_write_id(), true, ms(8));
    EXPECT_THROW(checker.granted(b, 0, Mode::PR, value(id, 1), ms(9)), Violation);
}

TEST_F(LockCheckerTest, TornValueIsReported) {
    open_and_grant(a, Mode::EX, {}, ms(1));
    const auto id = checker.next_write_id();
    checker.wrote(a, 0, id, true, ms(2));
    checker.lowered(a, 0, Mode::NL, ms(3));
    auto torn = value(id, 1);
    torn.bytes[torn.length - 1U] ^= std::byte{1};
    EXPECT_THROW(open_and_grant(b, Mode::PR, torn, ms(4)), Violation);
}

TEST_F(LockCheckerTest, ReaderBesideAWriterNeverGoesBack) {
    open_and_grant(a, Mode::PW, {}, ms(1));
    const auto first = checker.next_write_id();
    checker.wrote(a, 0, first, true, ms(2));
    open_and_grant(b, Mode::CR, value(first, 1), ms(3));
    checker.wrote(a, 0, checker.next_write_id(), true, ms(4));
    EXPECT_NO_THROW(checker.granted(b, 0, Mode::CR, value(first, 1), ms(5)));
    EXPECT_THROW(checker.granted(b, 0, Mode::CR, {}, ms(6)), Violation);
}

}  // namespace
}  // namespace sdlm::sim
