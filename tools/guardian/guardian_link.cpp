// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/guardian/guardian_link.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <new>

#include "disk/base/assert.hpp"
#include "tools/common/log.hpp"
#include "tools/common/process_fd.hpp"
#include "tools/guardian/event_fd.hpp"

namespace sdlm::tools {

namespace {

constexpr Duration respawn_pause = milliseconds(1000);
constexpr int end_patience_ms = 2000;

Error failure(const char* what, std::string& message) {
    const int error = errno;
    message = std::string("cannot start the guardian: ") + what + ": " + std::strerror(error);
    return Error{.code = Errc::io, .os_errno = error, .field = "guardian"};
}

}  // namespace

Result<std::unique_ptr<GuardianLink>> GuardianLink::start(const disk::Superblock& superblock,
                                                          const heartbeat::Timing& timing, int device,
                                                          const std::string& watchdog, std::string& message) {
    std::unique_ptr<GuardianLink> link(new GuardianLink);
    link->device_ = device;
    if (!watchdog.empty()) {
        auto opened = Watchdog::open(watchdog, timing.watchdog_max(), message);
        if (!opened) return opened.error();
        link->watchdog_ = std::move(*opened);
    }
    link->memory_ = UniqueFd(::memfd_create("sdlm ledger", MFD_CLOEXEC));
    if (!link->memory_ || ::ftruncate(link->memory_.get(), sizeof(Ledger)) != 0) return failure("memfd", message);
    void* memory = ::mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE, MAP_SHARED, link->memory_.get(), 0);
    if (memory == MAP_FAILED) return failure("mmap", message);
    link->ledger_ = new (memory) Ledger{};
    link->ledger_->config = {.volume = superblock.uuid,
                             .block_bytes = superblock.geometry.block_bytes,
                             .heartbeat_ns = timing.heartbeat.ns,
                             .lease_ns = timing.lease.ns,
                             .io_timeout_ns = timing.io_timeout.ns,
                             .watchdog_timeout_ns = link->watchdog_ ? link->watchdog_->timeout().ns : 0};
    link->self_ = open_process(::getpid());
    link->wake_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    link->answer_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!link->self_ || !link->wake_ || !link->answer_) return failure("descriptors", message);
    if (auto spawned = link->spawn(message); !spawned) return spawned.error();
    return link;
}

GuardianLink::~GuardianLink() {
    if (ledger_ == nullptr) return;
    if (ledger_->phase.load() != DaemonPhase::live) over();
    unwatch();                          // else the daemon ends without a word in its slot: the guardian sees to the rest
    ::munmap(ledger_, sizeof(Ledger));
}

Result<void> GuardianLink::spawn(std::string& message) {
    const std::array<int, 6> fds{memory_.get(), device_, self_.get(), wake_.get(), answer_.get(),
                                 watchdog_ ? watchdog_->fd() : -1};
    std::array<std::string, 6> words;
    std::array<char*, 8> argv{};
    std::string name = guardian_name;
    argv[0] = name.data();
    for (std::size_t i = 0; i < fds.size(); ++i) {
        words[i] = std::to_string(fds[i]);
        argv[i + 1] = words[i].data();
    }
    spawned_ = disk::boottime_now();
    pid_ = ::fork();
    if (pid_ < 0) return failure("fork", message);
    if (pid_ == 0) {
        for (const int fd : fds)
            if (fd >= 0) ::fcntl(fd, F_SETFD, 0);
        ::execv("/proc/self/exe", argv.data());
        ::_exit(127);
    }
    process_ = open_process(pid_);
    if (!process_) return failure("pidfd_open", message);
    if (reactor_ != nullptr) reactor_->watch(process_.get(), POLLIN, [this](std::uint32_t) { ended(); });
    return {};
}

void GuardianLink::watch(disk::Reactor& reactor, std::function<void()> clients_stopped) {
    reactor_ = &reactor;
    clients_stopped_ = std::move(clients_stopped);
    if (process_) reactor.watch(process_.get(), POLLIN, [this](std::uint32_t) { ended(); });
    reactor.watch(answer_.get(), POLLIN, [this](std::uint32_t) {
        drain(answer_.get());
        if (ledger_->clients_stopped.load() != 0) clients_stopped_();
    });
}

void GuardianLink::unwatch() {
    if (reactor_ == nullptr) return;
    if (process_) reactor_->unwatch(process_.get());
    reactor_->unwatch(answer_.get());
    reactor_ = nullptr;
}

void GuardianLink::ended() {
    if (reactor_ != nullptr) reactor_->unwatch(process_.get());
    process_.reset();
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    if (ledger_->phase.load() == DaemonPhase::over) return;
    log(LogLevel::error, "the guardian has ended " +
                             (WIFSIGNALED(status) ? "by signal " + std::to_string(WTERMSIG(status))
                                                  : "with code " + std::to_string(WEXITSTATUS(status))) +
                             "; starting another one");
}

void GuardianLink::note(const node::LeaseFacts& facts) {
    Ledger& l = *ledger_;
    if (facts.live) {
        l.node.store(facts.node);
        l.generation.store(facts.life.generation);
        l.nonce.store(facts.life.nonce);
    }
    l.submitted.store(facts.submitted);
    l.landed_by_ns.store(facts.landed_by.ns);
    l.lease_end_ns.store(facts.lease_end.ns);
    const DaemonPhase phase = facts.over ? DaemonPhase::over : (facts.live ? DaemonPhase::live : DaemonPhase::no_locks);
    if (l.phase.exchange(phase) != phase) ring(wake_.get());
    if (pid_ < 0 && phase != DaemonPhase::over && disk::boottime_now() - spawned_ > respawn_pause) {
        std::string message;
        if (auto spawned = spawn(message); !spawned) log(LogLevel::error, message);
    }
}

void GuardianLink::ask_stop() {
    ledger_->stop_asked.store(1);
    ring(wake_.get());
}

void GuardianLink::over() {
    unwatch();
    ledger_->phase.store(DaemonPhase::over);
    ring(wake_.get());
    if (!process_) return;
    if (!process_ended(process_.get(), end_patience_ms)) ::kill(pid_, SIGKILL);
    process_.reset();
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
}

LedgerHolder* GuardianLink::entry_of(pid_t process, std::uint64_t started) {
    LedgerHolder*& entry = entries_[process];
    if (entry == nullptr) {
        if (!free_.empty()) {
            entry = free_.back();
            free_.pop_back();
        } else if (ledger_->holders_used.load() < ledger_holders_max) {
            entry = &ledger_->holders[ledger_->holders_used.load()];
            ledger_->holders_used.fetch_add(1);
        } else {
            entries_.erase(process);
            return nullptr;
        }
        entry->started.store(started);
        entry->pid.store(static_cast<std::uint32_t>(process));
    }
    return entry;
}

GuardianLink::HoldId GuardianLink::hold(pid_t thread, ClientPolicy policy) {
    Hold hold{nullptr, policy};
    if (policy == ClientPolicy::notify) {
        ledger_->told.fetch_add(1);
    } else {
        pid_t process = 0;
        const std::uint64_t started = process_start(thread, process);
        if (started != 0) hold.entry = entry_of(process, started);
        if (hold.entry == nullptr) {
            ledger_->untracked.fetch_add(1);
        } else {
            (policy == ClientPolicy::reset ? hold.entry->resets : hold.entry->kills).fetch_add(1);
        }
    }
    holds_.emplace(next_hold_, hold);
    return next_hold_++;
}

void GuardianLink::drop(HoldId id) {
    const auto found = holds_.find(id);
    if (found == holds_.end()) return;
    const Hold hold = found->second;
    holds_.erase(found);
    if (hold.policy == ClientPolicy::notify) {
        ledger_->told.fetch_sub(1);
    } else if (hold.entry == nullptr) {
        ledger_->untracked.fetch_sub(1);
    } else {
        (hold.policy == ClientPolicy::reset ? hold.entry->resets : hold.entry->kills).fetch_sub(1);
        if (hold.entry->kills.load() + hold.entry->resets.load() > 0) return;
        entries_.erase(static_cast<pid_t>(hold.entry->pid.load()));
        hold.entry->pid.store(0);
        free_.push_back(hold.entry);
    }
}

}  // namespace sdlm::tools
