// SPDX-License-Identifier: LGPL-2.1-or-later
// Another process of a test, forked: its body returns 0 when all was as expected.
#pragma once
#include <sys/types.h>

#include <functional>

namespace sdlm {

class Program {
public:
    explicit Program(const std::function<int()>& body);
    ~Program();                                // SIGKILL when it still runs
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;
    pid_t pid() const { return pid_; }
    int wait();                                // exit code, or -signal
    void kill(int signal) const;

private:
    pid_t pid_;
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
