// SPDX-License-Identifier: LGPL-2.1-or-later
// Another process of a test: it shares the descriptors, and with them the handles.
#pragma once
#include <functional>

#include "tests/support/forked_program.hpp"

namespace sdlm {

class Program : public test::ForkedProgram {
public:
    explicit Program(const std::function<int()>& body) : ForkedProgram(body, {}) {}
};

// A byte each way between a test and its Program.
class Signal {
public:
    Signal();
    ~Signal();
    Signal(const Signal&) = delete;
    Signal& operator=(const Signal&) = delete;
    void give() const;
    bool take(int timeout_ms = 20'000) const;

private:
    int ends_[2];
};

}  // namespace sdlm
