// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlmd/fence_hook.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tools/common/log.hpp"
#include "tools/common/process_fd.hpp"

extern char** environ;

namespace sdlm::tools {

namespace {

// Its own process group: a time-out ends its children, too.
pid_t start(const std::string& program, const std::vector<std::string>& environment) {
    std::vector<char*> variables;
    for (char** old = environ; *old != nullptr; ++old)
        if (std::strncmp(*old, "SDLM_", 5) != 0) variables.push_back(*old);
    for (const std::string& text : environment) variables.push_back(const_cast<char*>(text.c_str()));
    variables.push_back(nullptr);
    char* const argv[] = {const_cast<char*>(program.c_str()), nullptr};
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    ::setpgid(0, 0);
    ::signal(SIGPIPE, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (const int null = ::open("/dev/null", O_RDONLY); null >= 0) ::dup2(null, STDIN_FILENO);
    ::execve(argv[0], argv, variables.data());
    ::_exit(127);
}

}  // namespace

FenceHook::~FenceHook() {
    for (auto& [fd, run] : runs_) {
        reactor_.unwatch(fd);
        ::kill(-run.pid, SIGKILL);
        ::waitpid(run.pid, nullptr, 0);
    }
}

FenceHook::Run FenceHook::begin(const Variables& variables) const {
    std::vector<std::string> environment;
    for (const auto& [name, value] : variables) environment.push_back(name + "=" + value);
    Run run;
    run.action = variables.front().second;
    run.pid = start(program_, environment);
    if (run.pid > 0) run.process = open_process(run.pid);
    if (run.process) return run;
    log(LogLevel::error, program_ + ": cannot be started: " + std::strerror(errno));
    if (run.pid > 0) ::kill(-run.pid, SIGKILL);
    return run;
}

bool FenceHook::finish(const Run& run) const {
    int status = 0;
    ::waitpid(run.pid, &status, 0);
    const bool success = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!success)
        log(LogLevel::error, program_ + " (" + run.action + ") " +
                                 (WIFEXITED(status) ? "failed with code " + std::to_string(WEXITSTATUS(status))
                                                    : "was ended by signal " + std::to_string(WTERMSIG(status))));
    return success;
}

bool FenceHook::run_now(const Variables& variables) {
    const Run run = begin(variables);
    if (!run.process) return false;
    if (!process_ended(run.process.get(), static_cast<int>(fence_hook_patience.ms()))) ::kill(-run.pid, SIGKILL);
    return finish(run);
}

void FenceHook::run(const Variables& variables, Done done) {
    Run run = begin(variables);
    if (!run.process) {
        reactor_.post([done = std::move(done)] { done(false); });
        return;
    }
    run.until = disk::boottime_now() + fence_hook_patience;
    run.done = std::move(done);
    const int fd = run.process.get();
    runs_.emplace(fd, std::move(run));
    reactor_.watch(fd, POLLIN, [this, fd](std::uint32_t) { ended(fd); });
}

void FenceHook::ended(int fd) {
    Run run = std::move(runs_.at(fd));
    reactor_.unwatch(fd);
    runs_.erase(fd);
    run.done(finish(run));
}

Instant FenceHook::look(Instant now) {
    Instant next = never;
    for (auto& [fd, run] : runs_) {
        if (now >= run.until) {
            ::kill(-run.pid, SIGKILL);
            run.until = never;
        }
        next = earlier(next, run.until);
    }
    return next;
}

}  // namespace sdlm::tools
