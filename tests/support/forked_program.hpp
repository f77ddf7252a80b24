// SPDX-License-Identifier: LGPL-2.1-or-later
// Another process of a test, forked: its body returns 0 when all was as expected.
#pragma once
#include <sys/types.h>

#include <functional>

namespace sdlm::test {

enum class Descriptors { inherited, closed };   // from 3 on; an inherited descriptor of a lock is a hold on it

struct ForkOptions {
    unsigned seconds_max = 60;                  // SIGALRM ends it then
    Descriptors descriptors = Descriptors::inherited;
};

class ForkedProgram {
public:
    // An exception that leaves `body` is exit code 99.
    ForkedProgram(const std::function<int()>& body, const ForkOptions& options);
    ~ForkedProgram();                           // SIGKILL when it still runs
    ForkedProgram(const ForkedProgram&) = delete;
    ForkedProgram& operator=(const ForkedProgram&) = delete;
    pid_t pid() const { return pid_; }
    int wait();                                 // exit code, or -signal
    void kill(int signal) const;

private:
    pid_t pid_;
};

}  // namespace sdlm::test
