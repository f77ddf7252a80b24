// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/guardian/guardian.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <string>

#include "disk/format/layout.hpp"
#include "disk/format/slot.hpp"
#include "disk/io/aligned_buffer.hpp"
#include "disk/io/reactor.hpp"
#include "heartbeat/last_image.hpp"
#include "tools/common/log.hpp"
#include "tools/common/process_fd.hpp"
#include "tools/guardian/event_fd.hpp"

namespace sdlm::tools {

using disk::boottime_now;

namespace {

constexpr Duration feed_pause = milliseconds(250);
constexpr Duration landing_look = milliseconds(2);

// Paged out or killed for memory, it could not do its one duty.
void stay_in_memory() {
    ::mlockall(MCL_CURRENT | MCL_FUTURE);
    const UniqueFd score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
    if (score) [[maybe_unused]] const ssize_t written = ::write(score.get(), "-1000", 5);
}

}  // namespace

Guardian::Guardian(Ledger& ledger, const GuardianFds& fds)
    : ledger_(ledger), timing_(ledger.timing()), fds_(fds),
      timer_(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)) {
    if (fds.watchdog >= 0) watchdog_ = Watchdog::adopt(fds.watchdog, {ledger.config.watchdog_timeout_ns});
}

bool Guardian::daemon_gone() const { return process_ended(fds_.daemon, 0); }

void Guardian::begin_stop(Instant now, const char* why) {
    log(LogLevel::warning, std::string("guardian: ") + why + "; stopping the programs that hold locks");
    stop_begun_ = now;
    stopper_.emplace(ledger_, timing_, now);
}

// Fed only while a host that is not fed any more would be reset before others may take over. Without anybody whom the
// reset protects others from, always.
bool Guardian::may_feed(Instant now) const {
    if (ledger_.phase.load() != DaemonPhase::live || stopped_) return true;
    bool needed = ledger_.untracked.load() > 0;
    for (std::size_t i = 0; i < ledger_.holders_used.load() && !needed; ++i)
        needed = ledger_.holders[i].resets.load() > 0;
    return !needed || ledger_.lease_end() + timing_.stop() - now >= watchdog_->timeout();
}

void Guardian::feed(Instant now) {
    if (watchdog_ && may_feed(now) && !watchdog_->feed()) log(LogLevel::error, "guardian: the watchdog takes no food");
}

// Whatever is still there cannot be killed, and others take over by the clock.
bool Guardian::hopeless(Instant now) const {
    return !watchdog_ && now > std::max(ledger_.lease_end(), stop_begun_) + timing_.stop();
}

Instant Guardian::next_look(Instant now) const {
    Instant next = watchdog_ ? now + feed_pause : never;
    if (stopper_ && !stopped_) return now + ClientStopper::stop_look;
    if (ledger_.phase.load() == DaemonPhase::live && !stopper_) next = earlier(next, ledger_.lease_end());
    return next;
}

void Guardian::wait(Instant until) {
    itimerspec when{};
    if (until != never) {
        const std::int64_t ns = std::max<std::int64_t>(until.ns, 1);
        when.it_value.tv_sec = ns / 1'000'000'000;
        when.it_value.tv_nsec = ns % 1'000'000'000;
    }
    ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
    // A daemon that is gone stays readable: nothing new.
    std::array<pollfd, 3> waits{{{fds_.wake, POLLIN, 0}, {timer_.get(), POLLIN, 0}, {fds_.daemon, POLLIN, 0}}};
    ::poll(waits.data(), gone_since_ == never ? 3 : 2, -1);
    drain(fds_.wake);
}

int Guardian::run() {
    for (;;) {
        const Instant now = boottime_now();
        const bool gone = daemon_gone();                     // before the phase: its last word counts
        if (gone && gone_since_ == never) gone_since_ = now;
        const DaemonPhase phase = ledger_.phase.load();
        const bool nothing_held = phase == DaemonPhase::over || (gone && phase == DaemonPhase::no_locks);
        if (nothing_held || (gone && stopped_) || (stopper_ && gone && hopeless(now))) break;
        if (!stopper_) {
            if (gone) begin_stop(now, "the daemon is gone");
            else if (ledger_.stop_asked.load() != 0) begin_stop(now, "the daemon is asked to stop");
            else if (phase == DaemonPhase::live && now >= ledger_.lease_end()) begin_stop(now, "the lease is over");
        }
        if (stopper_ && !stopped_ && stopper_->step(now)) {
            stopped_ = true;
            ledger_.clients_stopped.store(1);
            ring(fds_.answer);
            continue;
        }
        feed(now);
        wait(next_look(now));
    }
    if (watchdog_) watchdog_->close();
    const bool in_time = gone_since_ != never && gone_since_ < ledger_.lease_end();
    if (stopped_ && in_time && ledger_.phase.load() == DaemonPhase::live) certify();
    return 0;
}

// Nothing of the dead daemon may land after the last image: its newest write is waited for, and what had failed.
void Guardian::certify() {
    const auto node = static_cast<NodeIndex>(ledger_.node.load());
    const std::size_t bytes = ledger_.config.block_bytes;
    const std::uint64_t offset = disk::slots_offset + std::uint64_t{node} * bytes;
    const Instant landed = std::max(gone_since_ + timing_.io_timeout * heartbeat::drift_num / heartbeat::drift_den,
                                    Instant{ledger_.landed_by_ns.load()});
    const disk::AlignedBuffer buffer(bytes);
    if (buffer.data() == nullptr) return;
    const std::string slot = "guardian: slot " + std::to_string(node);
    Duration pause = landing_look;
    for (Instant now = boottime_now(); now < ledger_.lease_end(); now = boottime_now()) {
        if (::pread(fds_.device, buffer.data(), bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes)) {
            const auto header = disk::decode_slot_header(buffer.bytes(), ledger_.config.volume, node, offset);
            const bool newest = header && header->sequence >= ledger_.submitted.load() &&
                                now.ns >= ledger_.landed_by_ns.load();
            if (newest || now >= landed) {
                const auto image = heartbeat::make_last_image(buffer.bytes(), ledger_.config.volume, node, offset,
                                                              ledger_.life(), ledger_.submitted.load());
                if (!image) return log(LogLevel::warning, slot + ": " + describe(image.error()) + "; left as it is");
                std::memcpy(buffer.data(), image->data(), bytes);
                if (boottime_now() >= ledger_.lease_end()) break;
                if (::pwrite(fds_.device, buffer.data(), bytes, static_cast<off_t>(offset)) ==
                    static_cast<ssize_t>(bytes))
                    return log(LogLevel::notice, slot + " says that this node is over; other nodes go on");
                pause = timing_.io_timeout * heartbeat::drift_num / heartbeat::drift_den;    // it may land late
            }
        }
        ::usleep(static_cast<useconds_t>(pause.ns / 1000));
    }
    log(LogLevel::warning, slot + " could not be written within the lease; other nodes wait for its end");
}

int guardian_main(int argc, char** argv) {
    GuardianFds fds;
    int* const numbers[] = {&fds.ledger, &fds.device, &fds.daemon, &fds.wake, &fds.answer, &fds.watchdog};
    if (argc != 1 + static_cast<int>(std::size(numbers))) return 2;
    for (std::size_t i = 0; i < std::size(numbers); ++i) {
        const char* word = argv[i + 1];
        const char* end = word + std::strlen(word);
        if (std::from_chars(word, end, *numbers[i]).ptr != end) return 2;
        if (*numbers[i] >= 0 && ::fcntl(*numbers[i], F_SETFD, FD_CLOEXEC) != 0) return 2;
    }
    ::prctl(PR_SET_NAME, guardian_name);
    ::setsid();
    // Whoever reads the daemon's output must not wait for this process.
    if (const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC)); null) {
        ::dup2(null.get(), STDIN_FILENO);
        ::dup2(null.get(), STDOUT_FILENO);
    }
    // The end of the daemon is what it waits for; a service manager's SIGTERM goes to both.
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE}) ::signal(signal, SIG_IGN);
    void* memory = ::mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fds.ledger, 0);
    if (memory == MAP_FAILED) return 1;
    stay_in_memory();
    return Guardian(*static_cast<Ledger*>(memory), fds).run();
}

}  // namespace sdlm::tools
