// SPDX-License-Identifier: LGPL-2.1-or-later
// A program that uses a dlmfs: a forked process that makes one file call after the other, so that a test can have calls
// that block, be killed, or be sent signals, while it stays single-threaded itself.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace sdlm::fs::test {

// Time after which a test is considered hung; never a means to order things.
int watchdog_seconds();

class Client {
public:
    Client();
    ~Client();                                   // killed, if it lives
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    // Results are as of the system call, errors as -errno.
    int open(const std::string& path, int flags) { return begin_open(path, flags), finish(); }
    int close(int fd);
    // Does not wait; revents of everything that can be asked for.
    int poll(int fd) { return begin_poll(fd), finish(); }

    void begin_open(const std::string& path, int flags);     // returns while the call runs
    void begin_poll(int fd);
    void begin_wait_readable(int fd);            // a poll without time limit
    int finish();                                // waits for the result; -ETIME by the watchdog
    std::optional<int> finished();               // does not wait

    // Waits until the program is inside open(2). The request has then been sent, or will be within that call.
    void wait_until_in_open();
    void signal(int number);
    void kill();                                 // SIGKILL, and waits for its end
    void forget_process() { pid_ = -1; }
    pid_t pid() const { return pid_; }

private:
    struct Request;
    struct Reply;
    void send(const Request& request);
    [[noreturn]] static void serve(int channel);
    static int perform(const Request& request);

    pid_t pid_ = -1;
    int channel_ = -1;
};

}  // namespace sdlm::fs::test
