// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlm/lock_command_child.hpp"

#include <dirent.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>

#include "disk/io/reactor.hpp"
#include "tools/sdlm/lock_command.hpp"

namespace sdlm::tools {
namespace {

constexpr int pause_ms = 20;
constexpr Duration kill_patience = milliseconds(10'000);

// Parent of a process; 0 when it is gone.
pid_t parent_of(const char* pid) {
    std::ifstream file(std::string("/proc/") + pid + "/stat");
    std::string text;
    std::getline(file, text);
    // The command's name, in parentheses, may hold blanks and parentheses.
    const std::size_t end = text.rfind(')');
    if (end == std::string::npos || end + 4 > text.size()) return 0;
    if (text[end + 2] == 'Z') return 0;
    return static_cast<pid_t>(std::strtol(text.c_str() + end + 3, nullptr, 10));
}

std::vector<pid_t> descendants() {
    std::multimap<pid_t, pid_t> children;
    if (DIR* proc = ::opendir("/proc")) {
        while (const dirent* entry = ::readdir(proc)) {
            if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
            children.emplace(parent_of(entry->d_name), static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10)));
        }
        ::closedir(proc);
    }
    std::vector<pid_t> found{::getpid()};
    for (std::size_t i = 0; i < found.size(); ++i) {
        const auto [first, last] = children.equal_range(found[i]);
        for (auto it = first; it != last; ++it) found.push_back(it->second);
    }
    found.erase(found.begin());
    return found;
}

[[noreturn]] void become(const std::vector<std::string>& command, const sigset_t& mask, pid_t parent) {
    // Nobody would watch the lease for it any more.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(exit_lock_lost);
    ::sigprocmask(SIG_SETMASK, &mask, nullptr);
    std::vector<char*> argv;
    argv.reserve(command.size() + 1);
    for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    const int error = errno;
    std::fprintf(stderr, "sdlm: cannot run %s: %s\n", argv[0], std::strerror(error));
    ::_exit(error == ENOENT ? exit_no_command : exit_not_executable);
}

}  // namespace

bool LockedCommand::start(const std::vector<std::string>& command, const sigset_t& mask) {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) become(command, mask, parent);
    return pid_ > 0;
}

void LockedCommand::signal(int number) const {
    if (pid_ > 0 && !code_) ::kill(pid_, number);
}

std::optional<int> LockedCommand::reap() {
    int status = 0;
    for (pid_t ended = 0; (ended = ::waitpid(-1, &status, WNOHANG)) > 0;) {
        if (ended == pid_) code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    return code_;
}

bool LockedCommand::end_all(Duration grace) {
    const Instant kill_at = disk::boottime_now() + grace;
    std::map<pid_t, bool> told;                  // once: a program may take a second TERM for impatience
    for (;;) {
        (void)reap();
        const std::vector<pid_t> left = descendants();
        if (left.empty()) return true;
        const Instant now = disk::boottime_now();
        if (now > kill_at + kill_patience) return false;
        for (const pid_t pid : left) {
            if (now >= kill_at) ::kill(pid, SIGKILL);
            else if (!told[pid]) ::kill(pid, SIGTERM);
            told[pid] = true;
            if (now < kill_at) ::kill(pid, SIGCONT);
        }
        ::poll(nullptr, 0, pause_ms);
    }
}

}  // namespace sdlm::tools
