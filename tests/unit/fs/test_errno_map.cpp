// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <cerrno>

#include "fs/errno_map.hpp"

namespace sdlm::fs {

TEST(ErrnoMap, EveryErrorHasAnErrno) {
    for (int code = 1; code <= static_cast<int>(Errc::fenced); ++code) {
        EXPECT_GT(errno_of_join(static_cast<Errc>(code)), 0);
        EXPECT_GT(errno_of_open(static_cast<Errc>(code)), 0);
    }
}

TEST(ErrnoMap, JoiningWithoutAHeartbeatIsInvalid) {
    EXPECT_EQ(errno_of_join(Errc::fenced), EINVAL);
    EXPECT_EQ(errno_of_join(Errc::not_found), EINVAL);
    EXPECT_EQ(errno_of_join(Errc::exists), EBUSY);
    EXPECT_EQ(errno_of_join(Errc::no_space), ENOSPC);
}

TEST(ErrnoMap, Refusals) {
    EXPECT_EQ(errno_of(locks::Refusal::would_block), ETXTBSY);
    EXPECT_EQ(errno_of(locks::Refusal::deadlock), EDEADLK);
    EXPECT_EQ(errno_of(locks::Refusal::no_space), ENOSPC);
    EXPECT_EQ(errno_of_open(Errc::no_space), ENOSPC);
    EXPECT_EQ(errno_of_open(Errc::fenced), EIO);
    EXPECT_EQ(errno_of_open(Errc::too_large), EINVAL);
}

}  // namespace sdlm::fs
