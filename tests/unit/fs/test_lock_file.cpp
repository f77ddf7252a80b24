// SPDX-License-Identifier: LGPL-2.1-or-later
// Opens, upgrades, trylocks and the blocked mark of one lock file against a node that answers when the test says so.
#include <gtest/gtest.h>

#include <cerrno>
#include <utility>

#include "fs/lock_file.hpp"
#include "tests/unit/fs/fake_port.hpp"

namespace sdlm::fs::test {

using Answers = std::vector<OpenAnswer>;
using Wakes = std::vector<OpenId>;

constexpr OpenMode read_lock{.level = Mode::PR, .nonblock = false};
constexpr OpenMode write_lock{.level = Mode::EX, .nonblock = false};
constexpr OpenMode try_read{.level = Mode::PR, .nonblock = true};
constexpr OpenMode try_write{.level = Mode::EX, .nonblock = true};

class LockFileTest : public testing::Test {
protected:
    static Handle opened(FakePort& port, NoEvents& events) {
        EXPECT_TRUE(port.join("d", events));
        return *port.open({"d", "lock"});
    }
    Answers open(OpenId id, OpenMode mode) { return file.open(id, mode, effects), answers(); }
    Answers release(OpenId id) { return file.release(id, effects), answers(); }
    Answers grant() { return file.granted(port.grant(handle), effects), answers(); }
    Answers refuse(locks::Refusal why = locks::Refusal::would_block) {
        port.only().demand.want.reset();
        return file.refused(why, effects), answers();
    }
    Answers blocked(Mode mode) { return file.blocked(mode, effects), answers(); }
    Answers answers() { return std::exchange(effects.answers, {}); }
    Wakes wakes() { return std::exchange(effects.wakes, {}); }
    // "used want[?]" of the demand, '?' for a trylock.
    std::string demand() {
        const Demand& d = port.only().demand;
        const auto name = [](Mode m) -> std::string {
            return m == Mode::NL ? "NL" : m == Mode::PR ? "PR" : m == Mode::EX ? "EX" : "other";
        };
        return name(d.used) + (d.want ? " " + name(d.want->mode) + (d.want->noqueue ? "?" : "") : "");
    }
    void hold(OpenId id, OpenMode mode) {
        EXPECT_EQ(open(id, mode), Answers{});
        EXPECT_EQ(grant(), (Answers{{id, 0}}));
    }

    NoEvents events;
    FakePort port;
    Handle handle = opened(port, events);
    LockFile file{port, handle};
    Effects effects;
};

TEST_F(LockFileTest, ANameAloneKeepsTheValueAndHoldsNothing) {
    EXPECT_EQ(demand(), "NL");
    EXPECT_TRUE(port.only().demand.interest);
    EXPECT_FALSE(file.in_use());
}

TEST_F(LockFileTest, OpenAsksAndIsAnsweredByTheGrant) {
    EXPECT_EQ(open(1, read_lock), Answers{});
    EXPECT_EQ(demand(), "NL PR");
    EXPECT_TRUE(file.in_use());
    EXPECT_EQ(grant(), (Answers{{1, 0}}));
    EXPECT_EQ(demand(), "PR");
    EXPECT_EQ(release(1), Answers{});
    EXPECT_EQ(demand(), "NL");
    EXPECT_TRUE(port.only().demand.cache) << "the node keeps the mode after the last close";
    EXPECT_FALSE(file.in_use());
}

TEST_F(LockFileTest, LocalHoldersNeverExcludeEachOther) {
    hold(1, write_lock);
    EXPECT_EQ(open(2, write_lock), (Answers{{2, 0}}));
    EXPECT_EQ(open(3, try_write), (Answers{{3, 0}}));
    EXPECT_EQ(open(4, read_lock), (Answers{{4, 0}}));
    release(1);
    release(2);
    EXPECT_EQ(demand(), "EX");
    release(3);
    EXPECT_EQ(demand(), "PR");
    release(4);
    EXPECT_EQ(demand(), "NL");
}

TEST_F(LockFileTest, UpgradeKeepsWhatIsHeldAndAsksOnce) {
    hold(1, read_lock);
    EXPECT_EQ(open(2, write_lock), Answers{});
    EXPECT_EQ(demand(), "PR EX");
    EXPECT_FALSE(port.only().demand.want->convert) << "an upgrade has no privilege over other nodes' earlier requests";
    const std::size_t before = port.only().demand_count;
    EXPECT_EQ(open(3, write_lock), Answers{});
    EXPECT_EQ(port.only().demand_count, before) << "one request of a file at a time";
    EXPECT_EQ(open(4, read_lock), (Answers{{4, 0}})) << "what is held already does not wait for the upgrade";
    EXPECT_EQ(grant(), (Answers{{2, 0}, {3, 0}}));
    EXPECT_EQ(demand(), "EX");
}

TEST_F(LockFileTest, WaitingOpensAreServedInOrder) {
    EXPECT_EQ(open(1, read_lock), Answers{});
    EXPECT_EQ(open(2, write_lock), Answers{});
    EXPECT_EQ(open(3, read_lock), Answers{});
    EXPECT_EQ(demand(), "NL PR");
    EXPECT_EQ(grant(), (Answers{{1, 0}, {3, 0}}));
    EXPECT_EQ(demand(), "PR EX");
    EXPECT_EQ(grant(), (Answers{{2, 0}}));
}

TEST_F(LockFileTest, TrylockRefused) {
    EXPECT_EQ(open(1, try_write), Answers{});
    EXPECT_EQ(demand(), "NL EX?");
    EXPECT_EQ(refuse(), (Answers{{1, ETXTBSY}}));
    EXPECT_EQ(demand(), "NL");
    EXPECT_FALSE(file.in_use());
}

TEST_F(LockFileTest, ARefusalAnswersTheTrylocksThatAskForNoLess) {
    open(1, try_read);
    open(2, try_write);
    open(3, write_lock);
    open(4, try_read);
    EXPECT_EQ(refuse(), (Answers{{1, ETXTBSY}, {2, ETXTBSY}, {4, ETXTBSY}}));
    EXPECT_EQ(demand(), "NL EX") << "the blocking open goes on";
}

TEST_F(LockFileTest, ARefusedWriteTrylockSaysNothingAboutReading) {
    open(1, try_write);
    open(2, try_read);
    EXPECT_EQ(refuse(), (Answers{{1, ETXTBSY}}));
    EXPECT_EQ(demand(), "NL PR?");
    EXPECT_EQ(grant(), (Answers{{2, 0}}));
}

TEST_F(LockFileTest, OtherRefusalsHaveTheirOwnErrno) {
    open(1, write_lock);
    EXPECT_EQ(refuse(locks::Refusal::no_space), (Answers{{1, ENOSPC}}));
    EXPECT_EQ(demand(), "NL");
}

TEST_F(LockFileTest, WithdrawnOpenLeavesTheQueueAndThePlaceToTheNext) {
    open(1, write_lock);
    open(2, write_lock);
    const std::size_t before = port.only().demand_count;
    EXPECT_TRUE(file.withdraw(1, effects));
    EXPECT_EQ(answers(), Answers{}) << "whoever withdraws answers";
    EXPECT_EQ(port.only().demand_count, before) << "the same want keeps its ticket";
    EXPECT_EQ(grant(), (Answers{{2, 0}}));
    EXPECT_FALSE(file.withdraw(2, effects)) << "granted already";
}

TEST_F(LockFileTest, TheLastWithdrawnOpenTakesTheWantBack) {
    open(1, write_lock);
    EXPECT_TRUE(file.withdraw(1, effects));
    EXPECT_EQ(demand(), "NL");
    EXPECT_FALSE(file.in_use());
}

TEST_F(LockFileTest, AGrantThatNobodyWaitsForIsGivenBack) {
    open(1, write_lock);
    const Mode mode = port.grant(handle);   // on its way while the program is killed
    file.withdraw(1, effects);
    file.granted(mode, effects);
    EXPECT_EQ(answers(), Answers{});
    EXPECT_EQ(demand(), "NL");
}

TEST_F(LockFileTest, TheMarkWakesEveryDescriptorOnce) {
    hold(1, write_lock);
    open(2, read_lock);
    EXPECT_FALSE(file.marked_blocked());
    blocked(Mode::PR);
    EXPECT_TRUE(file.marked_blocked());
    EXPECT_EQ(wakes(), (Wakes{1, 2}));
    blocked(Mode::EX);
    EXPECT_EQ(wakes(), Wakes{}) << "readable already";
    blocked(Mode::NL);
    EXPECT_FALSE(file.marked_blocked());
    EXPECT_EQ(wakes(), Wakes{});
    blocked(Mode::EX);
    EXPECT_EQ(wakes(), (Wakes{1, 2}));
}

TEST_F(LockFileTest, TheMarkGoesWithTheLastHolderInTheWay) {
    hold(1, write_lock);
    open(2, read_lock);
    blocked(Mode::PR);
    release(1);
    EXPECT_FALSE(file.marked_blocked()) << "PR and PR get along";
    EXPECT_EQ(demand(), "PR");
    blocked(Mode::EX);
    EXPECT_TRUE(file.marked_blocked());
    release(2);
    EXPECT_FALSE(file.marked_blocked());
}

TEST_F(LockFileTest, WhileMarkedAboveWhatRemainsWaits) {
    hold(1, write_lock);
    blocked(Mode::PR);
    EXPECT_EQ(open(2, read_lock), (Answers{{2, 0}})) << "PR remains after the hand-over";
    EXPECT_EQ(open(3, write_lock), Answers{});
    EXPECT_EQ(demand(), "EX") << "nothing is asked before the hand-over";
    release(1);
    EXPECT_EQ(demand(), "PR EX") << "asks behind the other node";
    EXPECT_EQ(grant(), (Answers{{3, 0}}));
}

TEST_F(LockFileTest, WhileMarkedExclusiveEverybodyWaits) {
    hold(1, read_lock);
    blocked(Mode::EX);
    EXPECT_EQ(open(2, read_lock), Answers{});
    EXPECT_EQ(demand(), "PR");
    release(1);
    EXPECT_EQ(demand(), "NL PR");
    EXPECT_EQ(grant(), (Answers{{2, 0}}));
}

TEST_F(LockFileTest, TrylockThatWouldHaveToWaitBehindTheMarkFailsAtOnce) {
    hold(1, read_lock);
    blocked(Mode::EX);
    EXPECT_EQ(open(2, try_read), (Answers{{2, ETXTBSY}}));
    EXPECT_EQ(open(3, try_write), (Answers{{3, ETXTBSY}}));
}

TEST_F(LockFileTest, WhenTheWaiterGivesUpLocalOpensGoOn) {
    hold(1, read_lock);
    blocked(Mode::EX);
    open(2, read_lock);
    open(3, write_lock);
    EXPECT_EQ(blocked(Mode::NL), (Answers{{2, 0}}));
    EXPECT_EQ(demand(), "PR EX");
}

TEST_F(LockFileTest, AnUpgradeAskedBeforeTheMarkKeepsItsPlace) {
    hold(1, read_lock);
    open(2, write_lock);
    blocked(Mode::EX);
    EXPECT_EQ(demand(), "PR EX");
    EXPECT_EQ(grant(), (Answers{{2, 0}})) << "a granted open is never taken back";
    EXPECT_TRUE(file.marked_blocked());
}

TEST_F(LockFileTest, TrylocksInTheQueueFailWhenTheMarkComes) {
    hold(1, read_lock);
    open(2, write_lock);
    open(3, try_write);
    EXPECT_EQ(blocked(Mode::EX), (Answers{{3, ETXTBSY}}));
    EXPECT_EQ(demand(), "PR EX");
}

TEST_F(LockFileTest, ATrylockBehindALocalRequestExpires) {
    open(1, write_lock);
    EXPECT_EQ(open(2, try_write), Answers{}) << "the local request may be granted any moment";
    file.expire(1, effects);
    EXPECT_EQ(answers(), Answers{}) << "a blocking open never expires";
    file.expire(2, effects);
    EXPECT_EQ(answers(), (Answers{{2, ETXTBSY}}));
    EXPECT_EQ(grant(), (Answers{{1, 0}}));
}

TEST_F(LockFileTest, ATrylockThatTheNodeIsAskedForDoesNotExpire) {
    open(1, try_write);
    file.expire(1, effects);
    EXPECT_EQ(answers(), Answers{});
    EXPECT_EQ(grant(), (Answers{{1, 0}}));
}

TEST_F(LockFileTest, LeaseLost) {
    hold(1, read_lock);
    open(2, write_lock);
    open(3, write_lock);
    const std::size_t before = port.only().demand_count;
    file.lease_lost(effects);
    EXPECT_EQ(answers(), (Answers{{2, EIO}, {3, EIO}}));
    EXPECT_EQ(wakes(), (Wakes{1}));
    EXPECT_EQ(open(4, read_lock), (Answers{{4, EIO}}));
    release(1);
    file.granted(Mode::EX, effects);
    EXPECT_EQ(answers(), Answers{});
    EXPECT_EQ(port.only().demand_count, before) << "a dead node is asked nothing";
}

}  // namespace sdlm::fs::test
