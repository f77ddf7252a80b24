// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlm/lock_command.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "disk/io/reactor.hpp"
#include "heartbeat/timing.hpp"
#include "locks/dlm/flags.hpp"
#include "locks/libdlm/libdlm.h"
#include "tools/common/cli.hpp"
#include "tools/common/escape.hpp"
#include "tools/common/run_dirs.hpp"
#include "tools/common/unique_fd.hpp"
#include "tools/control/control_client.hpp"
#include "tools/sdlm/lock_command_child.hpp"
#include "tools/sdlm/lock_command_holders.hpp"

namespace sdlm::tools {
namespace {

constexpr const char* program = "sdlm";
constexpr int ending_signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};

class LockRun {
public:
    explicit LockRun(const LockOptions& options)
        : options_(options), what_(escaped(options.lockspace) + "/" + escaped(options.name)) {}
    ~LockRun() {
        if (ls_ != nullptr) dlm_close_lockspace(ls_);
    }
    LockRun(const LockRun&) = delete;
    LockRun& operator=(const LockRun&) = delete;

    int run();

private:
    enum class Wait { completed, signalled, expired, lost };
    enum class Lost { no, yes };

    bool open_lockspace();
    bool take_signals();
    std::optional<int> take_lock();    // nullopt: held
    int refused() const;
    int not_taken(int status) const;
    int die_by_signal();
    Wait wait_for_completion(Instant until);
    Lost deliver();
    int watch(LockedCommand& command);
    int lost(LockedCommand& command) const;
    static void completed(void* self) { static_cast<LockRun*>(self)->completed_ = true; }

    const LockOptions& options_;
    const std::string what_;
    std::string run_dir_;
    Duration grace_;
    dlm_lshandle_t ls_ = nullptr;
    dlm_lksb lksb_{};
    bool completed_ = false;
    sigset_t old_mask_{};
    UniqueFd signals_;
    int signal_ = 0;
};

// Half of what the volume gives programs between being told and being killed: when that is over, others may have the
// lock. Only root can ask the daemon.
Duration grace_of(const std::string& run_dir) {
    std::string message;
    auto client = ControlClient::connect(run_dir, message);
    if (!client) return heartbeat::default_timing.told() / 2;
    const auto reply = client->call("status", {}, message);
    if (!reply) return heartbeat::default_timing.told() / 2;
    return milliseconds(reply->at("status").at("timing").at("told_ms").get<std::int64_t>()) / 2;
}

bool LockRun::take_signals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int number : ending_signals) ::sigaddset(&set, number);
    ::sigaddset(&set, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &set, &old_mask_);
    signals_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    return static_cast<bool>(signals_);
}

bool LockRun::open_lockspace() {
    ls_ = dlm_open_lockspace(options_.lockspace.c_str());
    if (ls_ == nullptr && errno == ENOENT) ls_ = dlm_create_lockspace(options_.lockspace.c_str(), 0);
    if (ls_ != nullptr) return true;
    const int error = errno;
    std::string message = "lockspace " + escaped(options_.lockspace) + ": ";
    switch (error) {
        case EPERM: message += "this node does not have it, and only root can make it"; break;
        case EACCES: message += "its permissions do not let you in; see dlm/ls.NAME in " + run_dir_; break;
        case EEXIST: message += "a dlmfs domain of this node has that name; choose another one"; break;
        case EUNATCH: message = "no node daemon runs in " + run_dir_ + ", or it is not live; see sdlm status"; break;
        default: message += std::strerror(error);
    }
    failed(program, message);
    return false;
}

// Delivers what is there. yes: the daemon has ended the connection, nothing is held any more.
LockRun::Lost LockRun::deliver() { return dlm_dispatch(dlm_ls_get_fd(ls_)) == 0 ? Lost::no : Lost::yes; }

LockRun::Wait LockRun::wait_for_completion(Instant until) {
    while (!completed_) {
        const Instant now = disk::boottime_now();
        if (now >= until) return Wait::expired;
        constexpr std::int64_t longest_ms = 1 << 30;
        const int left = until == never ? -1 : static_cast<int>(std::min((until - now).ms() + 1, longest_ms));
        pollfd fds[] = {{dlm_ls_get_fd(ls_), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
        if (::poll(fds, 2, left) < 0 && errno != EINTR) return Wait::lost;
        signalfd_siginfo info{};
        while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
            if (info.ssi_signo == SIGCHLD) continue;
            signal_ = static_cast<int>(info.ssi_signo);
            return Wait::signalled;
        }
        if (fds[0].revents != 0 && deliver() == Lost::yes && !completed_) return Wait::lost;
    }
    return Wait::completed;
}

int LockRun::die_by_signal() {
    dlm_close_lockspace(ls_);
    ls_ = nullptr;
    std::signal(signal_, SIG_DFL);
    ::sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
    ::raise(signal_);
    return 128 + signal_;
}

int LockRun::refused() const {
    failed(program, what_ + " is " + lock_holders(options_, run_dir_));
    return options_.conflict_code;
}

int LockRun::not_taken(int status) const {
    switch (status) {
        case EAGAIN:
        case dlm::status_cancel: return refused();
        case EIO:
        case ENOTCONN:
            return failed(program, what_ + " was not taken: the node has lost its lease, or its daemon has ended; see "
                                           "sdlm status");
        default: return failed(program, what_ + " was not taken: " + std::strerror(status));
    }
}

std::optional<int> LockRun::take_lock() {
    const bool at_once = options_.patience && *options_.patience == Duration{};
    const std::uint32_t mode = options_.sharing == Sharing::shared ? LKM_PRMODE : LKM_EXMODE;
    if (dlm_ls_lock(ls_, mode, &lksb_, at_once ? LKF_NOQUEUE : 0, options_.name.data(),
                    static_cast<unsigned>(options_.name.size()), 0, completed, this, nullptr, nullptr) != 0)
        return not_taken(errno);
    const Instant give_up = at_once || !options_.patience ? never : disk::boottime_now() + *options_.patience;
    Wait end = wait_for_completion(give_up);
    if (end == Wait::expired) {
        // One completion for both: the cancel's, or the grant's when that was first.
        if (dlm_ls_unlock(ls_, lksb_.sb_lkid, LKF_CANCEL, &lksb_, this) != 0 && errno != ENOENT)
            return not_taken(errno);
        end = wait_for_completion(never);
    }
    if (end == Wait::signalled) return die_by_signal();
    const int status = end == Wait::lost ? ENOTCONN : lksb_.sb_status;
    if (status != 0) return not_taken(status);
    return std::nullopt;
}

int LockRun::lost(LockedCommand& command) const {
    failed(program, what_ + " is LOST: the node has lost its lease, or its daemon has ended; ending " +
                        options_.command.front());
    if (!command.end_all(grace_)) failed(program, "something that it has started cannot be killed");
    return exit_lock_lost;
}

int LockRun::watch(LockedCommand& command) {
    for (;;) {
        pollfd fds[] = {{dlm_ls_get_fd(ls_), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
        if (::poll(fds, 2, -1) < 0 && errno != EINTR) return lost(command);
        if (fds[0].revents != 0 && deliver() == Lost::yes) return lost(command);
        signalfd_siginfo info{};
        while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
            // What the terminal sends, it sends to the command as well.
            if (info.ssi_signo != SIGCHLD && info.ssi_code != SI_KERNEL)
                command.signal(static_cast<int>(info.ssi_signo));
        }
        if (const auto code = command.reap()) return *code;
    }
}

int LockRun::run() {
    std::string message;
    const auto run_dir = choose_run_dir(options_.run_dir, run_root, message);
    if (!run_dir) return failed(program, message);
    run_dir_ = *run_dir;
    ::setenv(run_dir_variable, run_dir_.c_str(), 1);   // for libdlm, and for what the command runs
    if (!take_signals()) return failed(program, std::string("signalfd: ") + std::strerror(errno));
    if (!open_lockspace()) return exit_failed;
    grace_ = options_.grace ? *options_.grace : grace_of(run_dir_);
    if (const auto code = take_lock()) return *code;
    LockedCommand command;
    if (!command.start(options_.command, old_mask_))
        return failed(program, std::string("fork: ") + std::strerror(errno));
    const int code = watch(command);
    // Closing releases it, too; this way it is gone also if something still has a copy of the connection.
    if (code != exit_lock_lost) dlm_ls_unlock_wait(ls_, lksb_.sb_lkid, 0, &lksb_);
    return code;
}

}  // namespace

int lock_command(const LockOptions& options) { return LockRun(options).run(); }

}  // namespace sdlm::tools
