// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "tests/sim/faults.hpp"

namespace sdlm::sim {
namespace {

constexpr heartbeat::Timing timing{milliseconds(250), milliseconds(2'000), milliseconds(500)};

FaultSet parse(const char* list) {
    FaultSet set;
    std::string bad;
    EXPECT_TRUE(FaultSet::parse(list, set, bad)) << bad;
    return set;
}

TEST(FaultSet, ParsesListsAndNamesTheBadWord) {
    EXPECT_FALSE(parse("none").any());
    EXPECT_TRUE(parse("all").has(Fault::clock));
    EXPECT_FALSE(parse("all,-crash").has(Fault::crash));
    EXPECT_TRUE(parse("mild").gentle());
    EXPECT_FALSE(parse("mild,crash").gentle());
    FaultSet set;
    std::string bad;
    EXPECT_FALSE(FaultSet::parse("stall,explode", set, bad));
    EXPECT_EQ(bad, "explode");
    for (std::size_t i = 0; i < fault_count; ++i) {
        const auto fault = static_cast<Fault>(i);
        EXPECT_TRUE(parse(text(fault)).has(fault));
    }
}

TEST(FaultPlan, WithoutFaultsEveryIoSucceedsAndTakesEffectInTime) {
    Prng prng{1};
    FaultPlan plan{{}, timing, 4, ms(500), prng};
    for (int i = 0; i < 2'000; ++i) {
        const IoPlan io = plan.plan_write(ms(5), 1, true, prng);
        ASSERT_TRUE(io.ok);
        ASSERT_GT(io.step_count, 0U);
        for (std::size_t s = 0; s < io.step_count; ++s) {
            ASSERT_GE(io.step[s], ms(5));
            ASSERT_LE(io.step[s], io.done);
        }
    }
}

TEST(FaultPlan, EveryKindOfBadWriteIsDrawn) {
    Prng prng{2};
    FaultPlan plan{FaultSet::all(), timing, 4, ms(500), prng};
    int failed = 0, partly = 0, lied = 0, late = 0, misdirected = 0;
    for (int i = 0; i < 60'000; ++i) {
        const IoPlan io = plan.plan_write(0, 1, true, prng);
        misdirected += io.misdirected;
        if (io.ok) continue;
        const bool after = io.step_count != 0 && io.step[0] > io.done;
        if (io.step_count == 0) ++failed;
        else if (io.skip_one_in != 0) ++partly;
        else if (after) ++late;
        else ++lied;
        for (std::size_t s = 0; s < io.step_count; ++s) ASSERT_LT(io.step[s], io.done + timing.io_timeout.ns);
    }
    EXPECT_GT(failed, 0);
    EXPECT_GT(partly, 0);
    EXPECT_GT(lied, 0);
    EXPECT_GT(late, 0);
    EXPECT_GT(misdirected, 0);
}

TEST(FaultPlan, StalledHostsIoEndsAfterTheStall) {
    Prng prng{3};
    FaultPlan plan{FaultSet::mild(), timing, 4, ms(500), prng};
    plan.stall_host(2, ms(700));
    EXPECT_GT(plan.plan_read(ms(1), 2, prng).done, ms(700));
    EXPECT_LT(plan.plan_read(ms(1), 1, prng).done, ms(700));
    plan.heal();
    EXPECT_LT(plan.plan_read(ms(1), 2, prng).done, ms(700));
}

TEST(FaultPlan, EveryWorldFaultIsDrawnAndNoneThatIsOff) {
    Prng prng{4};
    FaultPlan plan{parse("all,-fence"), timing, 4, ms(500), prng};
    std::array<int, fault_count + 1> seen{};
    for (int i = 0; i < 20'000; ++i) ++seen[static_cast<std::size_t>(plan.draw_action(prng).fault)];
    for (const Fault f : {Fault::stall, Fault::stall_long, Fault::blind, Fault::pause, Fault::pause_long, Fault::crash,
                          Fault::leave, Fault::rot, Fault::junk})
        EXPECT_GT(seen[static_cast<std::size_t>(f)], 0) << text(f);
    EXPECT_EQ(seen[static_cast<std::size_t>(Fault::fence)], 0);
    plan.stop();
    EXPECT_EQ(plan.draw_action(prng).fault, Fault::count_);
}

}  // namespace
}  // namespace sdlm::sim
