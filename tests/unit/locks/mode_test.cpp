// SPDX-License-Identifier: LGPL-2.1-or-later
#include "locks/core/mode.hpp"

#include <gtest/gtest.h>

namespace sdlm::locks {
namespace {

constexpr Mode modes[] = {Mode::NL, Mode::CR, Mode::CW, Mode::PR, Mode::PW, Mode::EX};

TEST(Mode, CompatibilityIsTheVmsMatrix) {
    constexpr bool expected[6][6] = {
        {true, true, true, true, true, true},       // NL
        {true, true, true, true, true, false},      // CR
        {true, true, true, false, false, false},    // CW
        {true, true, false, true, false, false},    // PR
        {true, true, false, false, false, false},   // PW
        {true, false, false, false, false, false},  // EX
    };
    for (Mode a : modes)
        for (Mode b : modes)
            EXPECT_EQ(compatible(a, b), expected[static_cast<int>(a)][static_cast<int>(b)])
                << text(a) << " " << text(b);
}

TEST(Mode, CoversMeansEveryConflictIsKept) {
    for (Mode a : modes)
        for (Mode b : modes) {
            bool all = true;
            for (Mode other : modes) all = all && (compatible(b, other) || conflicts(a, other));
            EXPECT_EQ(covers(a, b), all) << text(a) << " " << text(b);
        }
}

TEST(Mode, JoinIsTheLeastCommonCover) {
    for (Mode a : modes)
        for (Mode b : modes) {
            const Mode both = join(a, b);
            EXPECT_TRUE(covers(both, a) && covers(both, b));
            for (Mode c : modes)
                EXPECT_TRUE(!covers(c, a) || !covers(c, b) || covers(c, both)) << text(a) << text(b) << text(c);
        }
    EXPECT_EQ(join(Mode::CW, Mode::PR), Mode::PW);
}

}  // namespace
}  // namespace sdlm::locks
