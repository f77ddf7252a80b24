// SPDX-License-Identifier: LGPL-2.1-or-later
// Rounds of crashes at random moments under programs that count: nothing is lost, nobody is in at the same time. And
// kills of whole nodes against the bound that the volume states.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "counting_program.hpp"
#include "disk/base/prng.hpp"
#include "disk/io/reactor.hpp"
#include "troubled_nodes.hpp"

namespace sdlm {
namespace {

constexpr unsigned nodes = 3;

unsigned from_environment(const char* name, unsigned otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

std::int64_t now_ms() { return disk::boottime_now().ns / 1'000'000; }

class Crash : public TroubledNodes {
protected:
    void SetUp() override {
        lease_ms_ = from_environment("SDLM_TEST_LEASE_MS", 1000);
        heartbeat_ms_ = std::min(lease_ms_ / 10, 500U);
        TroubledNodes::SetUp();
        if (IsSkipped()) return;
        for (unsigned node = 0; node < nodes; ++node) ASSERT_NO_FATAL_FAILURE(start(node));
    }
    pid_t guardian(unsigned node) { return status(node).at("guardian_pid").get<pid_t>(); }
};

INSTANTIATE_TEST_SUITE_P(Trouble, Crash, testing::Values(View::plain), view_name);

class CrashRounds : public Crash {
protected:
    void SetUp() override {
        Crash::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        storage_ = std::make_unique<CountingStorage>(dir_.file("counter"));
        for (unsigned node = 0; node < nodes; ++node) count_on(node);
    }
    void count_on(unsigned node) {
        programs_[node] = start_counting(file(node, "counter"), *storage_, node);
    }
    std::uint64_t added(unsigned node) { return storage_->tally(node).added; }
    std::uint64_t refused(unsigned node) { return storage_->tally(node).refused; }
    // Every node but `except` adds something.
    void expect_progress(unsigned except = nodes) {
        for (unsigned node = 0; node < nodes; ++node) {
            const std::uint64_t before = added(node);
            for (int i = 0; i < 3000 && node != except && added(node) < before + 2; ++i) pass_ms(10);
            EXPECT_TRUE(node == except || added(node) >= before + 2) << "node " << node << " is stuck";
        }
    }
    void expect_program_ends(unsigned node) {
        siginfo_t info{};
        for (int i = 0; i < 3000 && info.si_pid == 0; ++i) {
            ::waitid(P_PID, static_cast<id_t>(programs_[node]->pid()), &info, WEXITED | WNOHANG | WNOWAIT);
            pass_ms(10);
        }
        EXPECT_NE(info.si_pid, 0) << "the program on node " << node << " does not notice";
        if (info.si_pid == 0) programs_[node]->kill(SIGKILL);
        programs_[node]->wait();
    }
    void kill_round(unsigned node) {
        kill(node);
        expect_progress(node);
        expect_program_ends(node);
    }
    void leave_round(unsigned node) {
        stop(node);
        expect_progress(node);
        expect_program_ends(node);
    }
    // The whole host stands still for longer than the lease, its program in the middle of something.
    void pause_round(unsigned node) {
        const pid_t beside = guardian(node);
        const auto all = [&](int signal) {
            programs_[node]->kill(signal);
            daemon(node).kill(signal);
            if (beside > 0) ::kill(beside, signal);
        };
        all(SIGSTOP);
        const std::int64_t begin = now_ms();
        expect_progress(node);
        const std::int64_t left = begin + 3 * lease_ms_ - now_ms();
        if (left > 0) pass_ms(static_cast<unsigned>(left));
        all(SIGCONT);
        expect_program_ends(node);
        EXPECT_TRUE(lost(node) || wait_lost(node)) << daemon(node).err();
        stop(node);
    }
    std::unique_ptr<CountingStorage> storage_;
    std::array<std::unique_ptr<test::ForkedProgram>, nodes> programs_;
};

INSTANTIATE_TEST_SUITE_P(Trouble, CrashRounds, testing::Values(View::plain), view_name);

TEST_P(CrashRounds, LoseNothingAndLetNobodyIn) {
    const unsigned rounds = from_environment("SDLM_TEST_ROUNDS", 40);
    const unsigned seed = from_environment("SDLM_TEST_SEED", static_cast<unsigned>(::getpid()));
    std::printf("%u rounds; SDLM_TEST_SEED=%u\n", rounds, seed);
    Prng prng(seed);
    std::uint64_t refused_late = 0;
    std::int64_t rejoin_ms_max = 0;
    for (unsigned round = 0; round < rounds && !HasFailure(); ++round) {
        std::array<std::uint64_t, nodes> before{};
        for (unsigned node = 0; node < nodes; ++node) before[node] = refused(node);
        expect_progress();
        const auto victim = static_cast<unsigned>(prng.below(nodes));
        const auto kind = static_cast<unsigned>(prng.below(10));
        pass_ms(static_cast<unsigned>(prng.below(100)));
        const char* what = kind < 6 ? "killed" : kind < 8 ? "leaves" : "stands still";
        if (kind < 6) kill_round(victim);
        else if (kind < 8) leave_round(victim);
        else pause_round(victim);
        for (unsigned node = 0; node < nodes; ++node) {
            // What it was about to do when it was stopped, and nothing after that.
            EXPECT_LE(refused(node) - before[node], node == victim ? 1U : 0U)
                << "round " << round << ", node " << victim << " " << what << ": node " << node << " was refused";
        }
        refused_late += refused(victim) - before[victim];
        const std::int64_t begin = now_ms();
        ASSERT_NO_FATAL_FAILURE(start(victim)) << "round " << round << ", node " << victim << " " << what;
        rejoin_ms_max = std::max(rejoin_ms_max, now_ms() - begin);
        count_on(victim);
        if (HasFailure()) std::printf("round %u: node %u %s\n", round, victim, what);
    }
    storage_->stop() = true;
    std::uint64_t sum = 0;
    for (unsigned node = 0; node < nodes; ++node) {
        programs_[node]->wait();
        sum += added(node);
    }
    EXPECT_EQ(storage_->count(), sum);
    std::printf("counted to %u, last token %u, %lu late writes refused; slowest rejoin %ld ms\n", storage_->count(),
                storage_->token(), refused_late, rejoin_ms_max);
}

// From the kill to the grant elsewhere: of the daemon alone, and of all that runs on its host.
TEST_P(Crash, KillsStayWithinTheStatedBound) {
    const unsigned rounds = from_environment("SDLM_TEST_ROUNDS", 6);
    const std::int64_t bound = bound_ms(1);
    std::int64_t host_max = 0, daemon_max = 0;
    for (unsigned round = 0; round < rounds && !HasFailure(); ++round) {
        const bool whole_host = round % 2 == 0;
        LockUser holder(file(0, "lock"));
        ASSERT_TRUE(holder.wait_granted());
        LockUser waiter(file(1, "lock"));
        ASSERT_TRUE(holder.wait_blocked());
        const pid_t beside = guardian(0);
        const std::int64_t begin = now_ms();
        if (whole_host && beside > 0) ::kill(beside, SIGKILL);
        kill(0);
        ASSERT_TRUE(waiter.wait_granted());
        const std::int64_t took = waiter.granted_ns() / 1'000'000 - begin;
        EXPECT_LE(took, bound) << (whole_host ? "host" : "daemon");
        (whole_host ? host_max : daemon_max) = std::max(took, whole_host ? host_max : daemon_max);
        waiter.release();
        ASSERT_NO_FATAL_FAILURE(start(0));
    }
    std::printf("%u kills: daemon alone at most %ld ms, whole node at most %ld ms, stated bound %ld ms\n", rounds,
                daemon_max, host_max, bound);
}

}  // namespace
}  // namespace sdlm
