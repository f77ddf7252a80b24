// SPDX-License-Identifier: LGPL-2.1-or-later
// A program run by a test: its output is captured, and it never outlives the test.
#pragma once
#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace sdlm::test {

struct ChildOptions {
    std::map<std::string, std::string> environment;      // added to the test's own
    std::string directory;                               // working directory; empty: the test's own
};

struct ExitStatus {
    bool exited = false;        // false: killed by `signal`
    int code = -1;
    int signal = 0;
};

class ChildProcess {
public:
    // argv[0] is looked up in PATH when it has no slash. Throws std::system_error when it cannot be started.
    explicit ChildProcess(const std::vector<std::string>& argv, const ChildOptions& options = {});
    ~ChildProcess();            // SIGKILL when it still runs
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;

    pid_t pid() const { return pid_; }
    bool running();
    void kill(int signal) const;                         // this process only, by its id; nothing once it has ended
    // Reads output until `text` shows up in it; false at its end, or when `bound_ms` have passed without it.
    bool wait_for_stderr(const std::string& text, int bound_ms = 30'000);
    bool wait_for_stdout(const std::string& text, int bound_ms = 30'000);
    // Reads all output and waits for the end; after `bound_ms` the process is killed (exited: false, SIGKILL).
    ExitStatus wait(int bound_ms = 30'000);
    const std::string& out() const { return streams_[0].text; }       // read so far
    const std::string& err() const { return streams_[1].text; }

private:
    struct Stream {
        int fd = -1;
        std::string text;
    };
    bool read_some(int bound_ms);
    bool wait_for(Stream& stream, const std::string& text, int bound_ms);

    pid_t pid_ = -1;
    bool reaped_ = false;
    ExitStatus status_;
    Stream streams_[2];
};

}  // namespace sdlm::test
