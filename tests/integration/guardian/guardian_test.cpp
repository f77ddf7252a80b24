// SPDX-License-Identifier: LGPL-2.1-or-later
// The guardian as a process, with a ledger that the test writes: when it feeds the watchdog, whom it ends.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <new>

#include "disk/io/reactor.hpp"
#include "tests/support/temp_dir.hpp"
#include "tools/guardian/guardian.hpp"

namespace sdlm::tools {
namespace {

using disk::boottime_now;

pid_t sleeper() {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::alarm(60);
        for (;;) ::pause();
    }
    return pid;
}

class GuardianProcess : public ::testing::Test {
protected:
    void SetUp() override {
        memory_ = UniqueFd(::memfd_create("ledger", 0));
        ASSERT_EQ(::ftruncate(memory_.get(), sizeof(Ledger)), 0);
        void* at = ::mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
        ASSERT_NE(at, MAP_FAILED);
        ledger_ = new (at) Ledger{};
        ledger_->config.block_bytes = 512;
        ledger_->config.heartbeat_ns = milliseconds(100).ns;
        ledger_->config.lease_ns = milliseconds(1000).ns;
        ledger_->config.io_timeout_ns = milliseconds(100).ns;
        ledger_->config.watchdog_timeout_ns = milliseconds(600).ns;
        watchdog_ = dir_.path() + "/watchdog";
        std::ofstream(watchdog_).flush();
        daemon_ = sleeper();
    }
    void TearDown() override {
        for (const pid_t pid : {daemon_, guardian_, holder_}) {
            if (pid <= 0) continue;
            ::kill(pid, SIGKILL);
            ::waitpid(pid, nullptr, 0);
        }
        ::munmap(ledger_, sizeof(Ledger));
    }
    void start() {
        std::string message;
        auto watchdog = Watchdog::open(watchdog_, {ledger_->config.watchdog_timeout_ns}, message);
        ASSERT_TRUE(watchdog.has_value()) << message;
        GuardianFds fds{.ledger = memory_.get(), .device = -1,
                        .daemon = static_cast<int>(::syscall(SYS_pidfd_open, daemon_, 0)),
                        .wake = wake_.get(), .answer = answer_.get(), .watchdog = ::dup(watchdog->fd())};
        guardian_ = ::fork();
        if (guardian_ == 0) ::_exit(Guardian(*ledger_, fds).run());
        ::close(fds.daemon);
        ::close(fds.watchdog);
    }
    void live_for(Duration lease) {
        ledger_->lease_end_ns.store((boottime_now() + lease).ns);
        ledger_->phase.store(DaemonPhase::live);
        poke();
    }
    void poke() {
        const std::uint64_t one = 1;
        ASSERT_EQ(::write(wake_.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
    }
    std::string eaten() {
        std::ifstream file(watchdog_);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    template <class Condition>
    bool until(Condition condition) {
        for (int i = 0; i < 3000; ++i) {
            if (condition()) return true;
            ::usleep(10'000);
        }
        return false;
    }
    void hold(pid_t pid, std::atomic<std::uint32_t> LedgerHolder::*count) {
        pid_t process = 0;
        ledger_->holders[0].started.store(process_start(pid, process));
        ledger_->holders[0].pid.store(static_cast<std::uint32_t>(pid));
        (ledger_->holders[0].*count).store(1);
        ledger_->holders_used.store(1);
    }
    bool ended(pid_t pid, int& status) { return until([&] { return ::waitpid(pid, &status, WNOHANG) == pid; }); }

    test::TempDir dir_;
    std::string watchdog_;
    UniqueFd memory_, wake_{::eventfd(0, EFD_NONBLOCK)}, answer_{::eventfd(0, EFD_NONBLOCK)};
    Ledger* ledger_ = nullptr;
    pid_t daemon_ = -1, guardian_ = -1, holder_ = -1;
};

TEST_F(GuardianProcess, FeedsWhileTheLeaseRunsAndClosesTheWatchdogInTheEnd) {
    ledger_->untracked.store(1);
    live_for(milliseconds(60'000));
    start();
    ASSERT_TRUE(until([&] { return eaten().size() >= 3; }));
    ledger_->phase.store(DaemonPhase::over);
    poke();
    int status = -1;
    ASSERT_TRUE(ended(guardian_, status));
    guardian_ = -1;
    EXPECT_EQ(status, 0);
    EXPECT_EQ(eaten().back(), 'V');
}

TEST_F(GuardianProcess, StopsFeedingSoEarlyThatTheHostIsResetInTime) {
    ledger_->untracked.store(1);                      // a holder that nobody can stop
    live_for(milliseconds(1500));
    start();
    const Instant reset_by = ledger_->lease_end() + ledger_->timing().stop();
    const auto last_meal = [&] {
        struct stat s {};
        ::stat(watchdog_.c_str(), &s);
        return s.st_mtim.tv_sec * 1'000'000'000LL + s.st_mtim.tv_nsec;
    };
    ASSERT_TRUE(until([&] { return !eaten().empty(); }));
    ASSERT_TRUE(until([&] { return boottime_now() > reset_by; }));
    timespec wall{};
    ::clock_gettime(CLOCK_REALTIME, &wall);
    const std::int64_t since = wall.tv_sec * 1'000'000'000LL + wall.tv_nsec - last_meal();
    EXPECT_GE(boottime_now().ns - since + ledger_->config.watchdog_timeout_ns, 0);
    EXPECT_LE(boottime_now().ns - since + ledger_->config.watchdog_timeout_ns, reset_by.ns + milliseconds(50).ns);
    EXPECT_EQ(eaten().find('V'), std::string::npos);
}

TEST_F(GuardianProcess, EndsAHolderAtTheEndOfTheLeaseAndFeedsAgain) {
    holder_ = sleeper();
    hold(holder_, &LedgerHolder::resets);
    live_for(milliseconds(300));
    start();
    int status = 0;
    ASSERT_TRUE(ended(holder_, status));
    holder_ = -1;
    EXPECT_TRUE(WIFSIGNALED(status));
    ASSERT_TRUE(until([&] { return ledger_->clients_stopped.load() != 0; }));
    const std::size_t before = eaten().size();
    EXPECT_TRUE(until([&] { return eaten().size() > before; }));
}

TEST_F(GuardianProcess, LeavesAProcessAloneThatHasGotTheNumberOfAHolder) {
    holder_ = sleeper();
    hold(holder_, &LedgerHolder::kills);
    ledger_->holders[0].started.fetch_sub(1);         // another process had this number
    live_for(milliseconds(100));
    start();
    ASSERT_TRUE(until([&] { return ledger_->clients_stopped.load() != 0; }));
    EXPECT_EQ(::waitpid(holder_, nullptr, WNOHANG), 0);
}

TEST_F(GuardianProcess, AnswersWhenTheDaemonAsksForIt) {
    holder_ = sleeper();
    hold(holder_, &LedgerHolder::kills);
    live_for(milliseconds(60'000));
    start();
    ledger_->stop_asked.store(1);
    poke();
    pollfd waits{answer_.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&waits, 1, 30'000), 1);
    EXPECT_EQ(ledger_->clients_stopped.load(), 1U);
    int status = 0;
    EXPECT_TRUE(ended(holder_, status));
    holder_ = -1;
}

TEST_F(GuardianProcess, ATooSlowWatchdogIsRefusedByName) {
    std::string message;
    EXPECT_FALSE(Watchdog::open(dir_.path() + "/none", milliseconds(5000), message).has_value());
    EXPECT_NE(message.find("/none: No such file"), std::string::npos) << message;
    EXPECT_FALSE(Watchdog::open("/dev/null", milliseconds(5000), message).has_value());
    EXPECT_NE(message.find("/dev/null"), std::string::npos) << message;
}

}  // namespace
}  // namespace sdlm::tools

int main(int argc, char** argv) {
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
