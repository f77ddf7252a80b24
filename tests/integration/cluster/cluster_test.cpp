// SPDX-License-Identifier: LGPL-2.1-or-later
// Two and five real nodes: hand-over with the value, counting under contention, death of a daemon and of programs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <cstring>
#include <nlohmann/json.hpp>

#include "cluster.hpp"

namespace sdlm {
namespace {

class Nodes : public testing::TestWithParam<ClusterOptions> {
protected:
    void SetUp() override {
        const std::string reason = cluster_.start(GetParam());
        if (!reason.empty()) GTEST_SKIP() << reason;
    }
    Cluster cluster_;
};

std::string name_of(const testing::TestParamInfo<ClusterOptions>& info) {
    return std::to_string(info.param.nodes) + "Nodes" + std::to_string(info.param.block_bytes) +
           (info.param.loop ? "Loop" : "File");
}

INSTANTIATE_TEST_SUITE_P(Cluster, Nodes,
                         testing::Values(ClusterOptions{.nodes = 2, .block_bytes = 512, .loop = true},
                                         ClusterOptions{.nodes = 2, .block_bytes = 4096, .loop = true},
                                         ClusterOptions{.nodes = 5, .block_bytes = 512, .loop = true},
                                         ClusterOptions{.nodes = 2, .block_bytes = 512, .loop = false}),
                         name_of);

// A little shared memory for counts of forked programs.
struct Shared {
    Shared()
        : counts(static_cast<volatile unsigned long*>(
              mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
    ~Shared() { munmap(const_cast<unsigned long*>(counts), 4096); }
    volatile unsigned long* counts;
};

TEST_P(Nodes, ExclusiveIsHandedOverWithItsValue) {
    const std::string a = cluster_.file(0, "lock"), b = cluster_.file(1, "lock");
    const int fa = open(a.c_str(), O_RDWR | O_CREAT, 0644);
    ASSERT_GE(fa, 0) << strerror(errno);
    EXPECT_EQ(open(b.c_str(), O_RDWR | O_CREAT | O_NONBLOCK, 0644), -1);
    EXPECT_EQ(errno, ETXTBSY);
    pollfd p{.fd = fa, .events = POLLIN, .revents = 0};
    EXPECT_EQ(poll(&p, 1, 0), 0);
    Program waiter([&] {
        const int fb = open(b.c_str(), O_RDWR);
        char text[8] = {};
        if (fb < 0 || read(fb, text, 5) != 5) return 1;
        return memcmp(text, "value", 5) == 0 ? 0 : 2;
    });
    ASSERT_EQ(poll(&p, 1, 30'000), 1);                    // B waits
    EXPECT_EQ(p.revents, POLLIN);
    ASSERT_EQ(write(fa, "value", 5), 5);
    close(fa);
    EXPECT_EQ(waiter.wait(), 0);
}

TEST_P(Nodes, ACounterInTheValueIsExact) {
    constexpr unsigned long rounds = 60;
    std::vector<std::unique_ptr<Program>> programs;
    for (unsigned node = 0; node < GetParam().nodes; ++node) {
        programs.push_back(std::make_unique<Program>([&, node] {
            for (unsigned long i = 0; i < rounds; ++i) {
                const int fd = open(cluster_.file(node, "counter").c_str(), O_RDWR | O_CREAT, 0644);
                unsigned long count = 0;
                if (fd < 0 || pread(fd, &count, sizeof count, 0) != sizeof count) return 1;
                ++count;
                if (pwrite(fd, &count, sizeof count, 0) != sizeof count) return 2;
                close(fd);
            }
            return 0;
        }));
    }
    for (auto& program : programs) EXPECT_EQ(program->wait(), 0);
    const int fd = open(cluster_.file(0, "counter").c_str(), O_RDONLY);
    unsigned long count = 0;
    ASSERT_EQ(pread(fd, &count, sizeof count, 0), static_cast<ssize_t>(sizeof count));
    close(fd);
    EXPECT_EQ(count, rounds * GetParam().nodes);
}

// What a killed daemon held goes to whoever waits for it; the value that it may have changed is not valid.
TEST_P(Nodes, AKilledDaemonsLockIsTakenOver) {
    const int fa = open(cluster_.file(0, "lock").c_str(), O_RDWR | O_CREAT, 0644);
    ASSERT_GE(fa, 0);
    const auto status = nlohmann::json::parse(cluster_.tool({"--run-dir", cluster_.run_dir(1), "status", "--json"}));
    int fb = -1;
    std::thread waiter([&] { fb = open(cluster_.file(1, "lock").c_str(), O_RDWR | O_CREAT, 0644); });
    pollfd waited{fa, POLLIN, 0};
    EXPECT_EQ(poll(&waited, 1, 30'000), 1);
    const auto killed = std::chrono::steady_clock::now();
    cluster_.kill_daemon(0);
    waiter.join();
    ASSERT_GE(fb, 0);
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - killed);
    std::printf("took %ld ms; status: %s\n", took.count(),
                status.value("timing", nlohmann::json()).dump().c_str());
    char value[64];
    EXPECT_EQ(read(fb, value, sizeof value), 0);
    EXPECT_EQ(pwrite(fb, "new", 3, 0), 3);
    EXPECT_EQ(pread(fb, value, sizeof value, 0), 64);
    close(fb);
    close(fa);
}

// Programs count in a file of their own file system, under the lock. One node's daemon dies in the middle: its program
// stops at the first error; nobody's count is lost, so nobody was in at the same time.
TEST_P(Nodes, CountsSurviveTheDeathOfANode) {
    Shared shared;
    const unsigned nodes = GetParam().nodes;
    std::vector<std::unique_ptr<Program>> programs;
    for (unsigned node = 0; node < nodes; ++node) {
        programs.push_back(std::make_unique<Program>([&, node] {
            for (int i = 0; i < 80; ++i) {
                const int fd = open(cluster_.file(node, "guard").c_str(), O_RDWR | O_CREAT, 0644);
                if (fd < 0) return node == 0 ? 0 : 1;
                const unsigned long seen = shared.counts[0];
                usleep(200);                               // room for an intruder
                shared.counts[0] = seen + 1;
                shared.counts[1 + node] = shared.counts[1 + node] + 1;
                if (close(fd) != 0) return node == 0 ? 0 : 2;
            }
            return 0;
        }));
    }
    while (shared.counts[1] < 10) usleep(1000);            // until node 0 has been at it for a while
    cluster_.kill_daemon(0);
    unsigned long sum = 0;
    for (unsigned node = 0; node < nodes; ++node) {
        EXPECT_EQ(programs[node]->wait(), 0) << node;
        sum += shared.counts[1 + node];
    }
    EXPECT_EQ(shared.counts[0], sum);
}

TEST_P(Nodes, KilledProgramsLeaveHealthyMounts) {
    const int fa = open(cluster_.file(0, "lock").c_str(), O_RDWR | O_CREAT, 0644);
    ASSERT_GE(fa, 0);
    {
        Program waiter([&] { return open(cluster_.file(1, "lock").c_str(), O_RDWR | O_CREAT, 0644) < 0 ? 1 : 0; });
        pollfd p{.fd = fa, .events = POLLIN, .revents = 0};
        ASSERT_EQ(poll(&p, 1, 30'000), 1);
        waiter.kill(SIGKILL);
        EXPECT_EQ(waiter.wait(), -SIGKILL);
    }
    close(fa);
    const int fb = open(cluster_.file(1, "lock").c_str(), O_RDWR);
    EXPECT_GE(fb, 0);
    close(fb);
}

TEST_P(Nodes, StatusAndLocksTellWhoHoldsWhat) {
    const int fa = open(cluster_.file(0, "lock").c_str(), O_RDWR | O_CREAT, 0644);
    ASSERT_GE(fa, 0);
    const int fb = open(cluster_.file(1, "other").c_str(), O_RDONLY | O_CREAT, 0644);
    ASSERT_GE(fb, 0);
    const auto status = nlohmann::json::parse(cluster_.tool({"--run-dir", cluster_.run_dir(1), "status", "--json"}));
    EXPECT_EQ(status.dump().find("evict\":1"), std::string::npos);
    // Node 1 has read what node 0 has published when it says so; the lock is published by the next heartbeat at the
    // latest.
    std::string rows;
    for (int i = 0; i < 500; ++i) {
        rows = cluster_.tool({"--run-dir", cluster_.run_dir(1), "locks", "--json"});
        if (rows.find("\"EX\"") != std::string::npos) break;
        usleep(10'000);
    }
    EXPECT_NE(rows.find("\"EX\""), std::string::npos) << rows;
    EXPECT_NE(rows.find("other"), std::string::npos) << rows;
    EXPECT_NE(cluster_.tool({"dump", cluster_.device()}).find("domain"), std::string::npos);
    close(fa);
    close(fb);
}

}  // namespace
}  // namespace sdlm
