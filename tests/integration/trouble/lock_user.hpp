// SPDX-License-Identifier: LGPL-2.1-or-later
// A program that opens one lock file and stays, and what happens to it. A process of its own: a node whose lease is
// over may kill those that hold its locks.
#pragma once
#include <signal.h>

#include <cstdint>
#include <memory>
#include <string>

#include "tests/support/forked_program.hpp"

namespace sdlm {

class LockUser {
public:
    explicit LockUser(const std::string& path);      // waits for EX
    ~LockUser();
    LockUser(const LockUser&) = delete;
    LockUser& operator=(const LockUser&) = delete;

    bool wait_granted();                             // false: refused, or not within a minute
    bool wait_told();                                // that the lock is void: EIO, POLLERR, or killed
    bool wait_blocked();                             // marked as wanted by another node
    bool granted() const;
    bool healthy();                                  // granted, and never told otherwise
    void release();                                  // closes the file and ends
    int open_errno() const;
    std::int64_t granted_ns() const;                 // CLOCK_BOOTTIME
    std::int64_t told_ns() const;

private:
    struct State;
    int use(const std::string& path);
    template <class Condition>
    bool wait(Condition condition);
    bool ended();

    State* state_;
    bool ended_ = false;
    std::unique_ptr<test::ForkedProgram> program_;
};

}  // namespace sdlm
