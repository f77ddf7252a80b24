// SPDX-License-Identifier: LGPL-2.1-or-later
// A running program.c: commands go in, answers come out, and it can be left alone in a call that blocks.
#pragma once
#include <sys/types.h>

#include <map>
#include <ostream>
#include <string>

namespace sdlm {

// Which library is inside of the program.
struct Flavour {
    std::string name;
    std::string program;
    std::string preload;                       // LD_PRELOAD
    bool original = false;
    friend void PrintTo(const Flavour& flavour, std::ostream* out) { *out << flavour.name; }
};

class Talker {
public:
    Talker(const Flavour& flavour, const std::map<std::string, std::string>& environment);
    ~Talker();                                 // killed by its id
    Talker(const Talker&) = delete;
    Talker& operator=(const Talker&) = delete;

    std::string ask(const std::string& command) { return begin(command), answer(); }
    void begin(const std::string& command);
    std::string answer();                      // "(time out)", "(ended)"
    bool answered();                           // does not wait
    void signal(int number) const;
    void kill();                               // SIGKILL; it is gone when this returns

private:
    bool read_some(int bound_ms);

    pid_t pid_ = -1;
    int channel_ = -1;
    std::string text_;
};

}  // namespace sdlm
