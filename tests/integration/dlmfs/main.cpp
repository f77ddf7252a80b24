// SPDX-License-Identifier: LGPL-2.1-or-later
// Every row of the observed behaviour of dlmfs and of its semantics, through file calls on two mounts.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/integration/dlmfs/mounts.hpp"

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    if (testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
    const std::string problem = sdlm::fs::test::mounts().start();
    if (!problem.empty()) {
        std::printf("skipped: %s\n", problem.c_str());
        return 77;
    }
    const int result = RUN_ALL_TESTS();
    sdlm::fs::test::mounts().stop();
    return result;
}
