// SPDX-License-Identifier: LGPL-2.1-or-later
// sdlm_recovery: how long locks of a dead node take from its eviction to their grant, by how many locks it held. Live
// nodes in threads of this process; one of them stops without a word. The time begins with the round of the reactor in
// which the survivor takes notice of the eviction, so that nothing it does about it is left out.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/bench_main.hpp"
#include "tests/bench/bench_node.hpp"
#include "tests/bench/samples.hpp"
#include "tests/support/loop_device.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/volume.hpp"

namespace sdlm::bench {
namespace {

constexpr std::uint64_t area_bytes = 16 * 1024 * 1024;      // 50,000 locks take about 3 MB of it
constexpr unsigned slot_count = 4;
constexpr NodeIndex survivor_node = 0, victim_node = 1, bystander_node = 2;
constexpr double bound_ratio = 1.2, bound_ms = 50;          // either will do

struct Options {
    std::string directory = "/dev/shm";
    std::vector<unsigned> locks{10, 1000, 50'000};
    unsigned rounds = 3;
    unsigned waiting = 16;
    std::uint32_t lease_ms = 1000;
    bool bystander = true;
    bool judge_io = false;
};

struct Recovery {
    Duration first, last;        // from the eviction to the first and the last grant
    Duration pump;               // the longest round of the survivor's reactor, until half a lease later
    Duration from_death;         // to the last grant
    std::uint64_t writes = 0, reads = 0;      // of the survivor, from the eviction to the last grant
};

struct Holder : locks::LockEvents {
    explicit Holder(BenchNode& n) : node(n) {}
    void granted(locks::Handle, locks::Mode, const locks::Lvb&) override {
        if (--missing == 0) finish();
    }
    void refused(locks::Handle, locks::Refusal) override { throw std::runtime_error("a lock was refused"); }
    void blocked(locks::Handle, locks::Mode mode) override {
        if (mode != locks::Mode::NL && --unasked == 0) asked.set_value();
    }
    void lease_lost() override {}

    // Takes `count` locks EX, as many at a time as there are: they ride in few writes.
    void take(unsigned count) {
        node.run([this, count](std::function<void()> on_end) {
            finish = std::move(on_end);
            missing = count;
            want(count);
        });
    }
    void want(unsigned count) {
        if (auto joined = node.locks().join("recovery", *this); !joined)
            throw std::runtime_error("recovery: " + describe(joined.error()));
        for (unsigned i = 0; i < count; ++i) {
            const auto handle = node.locks().open({"recovery", "r" + std::to_string(i)});
            if (!handle) throw std::runtime_error("recovery: " + describe(handle.error()));
            locks::Demand demand;
            demand.want = locks::Want{.mode = locks::Mode::EX};
            node.locks().set_demand(*handle, demand);
        }
    }

    BenchNode& node;
    unsigned missing = 0, unasked = 0;
    std::function<void()> finish;
    std::promise<void> asked;
};

// Waits for locks of the dead node and notes when they come.
struct Survivor final : Holder {
    Survivor(BenchNode& n, unsigned w) : Holder(n), waiting(w) {
        node.call([this] {
            node.set_round_hook([this] { round_begun = disk::boottime_now(); });
            node.set_pump_hook([this] { longest = std::max(longest, disk::boottime_now() - round_begun); });
            node.set_event_hook([this](const node::NodeEvent& event) {
                if (!std::holds_alternative<node::PeerEvicted>(event)) return;
                evicted_at = round_begun;
                io_before = node.runtime().counters();
            });
            want(waiting);
        });
    }
    ~Survivor() override {
        node.call([this] {
            node.set_round_hook(nullptr);
            node.set_pump_hook(nullptr);
            node.set_event_hook(nullptr);
        });
    }
    void granted(locks::Handle, locks::Mode, const locks::Lvb&) override {
        last_at = disk::boottime_now();
        if (grants == 0) first_at = last_at;
        if (++grants != waiting) return;
        io_after = node.runtime().counters();
        done.set_value();
    }

    const unsigned waiting;
    unsigned grants = 0;
    Instant round_begun, evicted_at, first_at, last_at;
    Duration longest;
    tools::RuntimeCounters io_before, io_after;
    std::promise<void> done;
};

void wait_for(std::promise<void>& promise, const char* what) {
    constexpr auto bound = std::chrono::seconds(120);      // ends a hopeless wait
    if (promise.get_future().wait_for(bound) != std::future_status::ready)
        throw std::runtime_error(std::string(what) + " did not happen");
}

Recovery measure(const std::string& device, const Options& options, unsigned lock_count) {
    const unsigned waiting = std::min(options.waiting, lock_count);
    const auto superblock = test::format_volume(device, {.slot_count = slot_count, .area_bytes = area_bytes,
                                                         .heartbeat_ms = options.lease_ms / 10,
                                                         .lease_ms = options.lease_ms,
                                                         .io_timeout_ms = options.lease_ms / 8});
    BenchNode survivor_host(device, superblock, survivor_node);
    BenchNode victim_host(device, superblock, victim_node);
    std::unique_ptr<BenchNode> bystander;
    if (options.bystander) bystander = std::make_unique<BenchNode>(device, superblock, bystander_node);
    Holder victim(victim_host);
    victim.take(lock_count);
    victim_host.call([&] { victim.unasked = waiting; });
    Survivor survivor(survivor_host, waiting);
    wait_for(victim.asked, "a request for locks of another node");
    survivor_host.call([&] { survivor.longest = {}; });
    const Instant death = disk::boottime_now();
    victim_host.die();
    wait_for(survivor.done, "the grant of a dead node's locks");
    // The others answer, and what is left of the dead node is cleared away.
    std::this_thread::sleep_for(std::chrono::milliseconds(options.lease_ms / 2));
    Recovery result;
    survivor_host.call([&] {
        result = {.first = survivor.first_at - survivor.evicted_at, .last = survivor.last_at - survivor.evicted_at,
                  .pump = survivor.longest, .from_death = survivor.last_at - death,
                  .writes = survivor.io_after.writes - survivor.io_before.writes,
                  .reads = survivor.io_after.reads - survivor.io_before.reads};
    });
    return result;
}

struct Row {
    unsigned locks = 0;
    std::vector<Recovery> rounds;
    template <class Value>
    auto median(Value value) const {
        std::vector<decltype(value(rounds.front()))> values;
        for (const Recovery& round : rounds) values.push_back(value(round));
        std::sort(values.begin(), values.end());
        return values[values.size() / 2];
    }
    double ms(Duration Recovery::* what) const {
        return static_cast<double>(median([what](const Recovery& r) { return r.*what; }).ns) / 1e6;
    }
};

void print(const Row& row) {
    std::printf("%8u %14.2f %14.2f %16.2f %14.0f %8llu %8llu\n", row.locks, row.ms(&Recovery::first),
                row.ms(&Recovery::last), row.ms(&Recovery::pump), row.ms(&Recovery::from_death),
                static_cast<unsigned long long>(row.median([](const Recovery& r) { return r.writes; })),
                static_cast<unsigned long long>(row.median([](const Recovery& r) { return r.reads; })));
}

// Time: the first grants the last within the bound. I/O: no more for many locks than for few, heartbeats aside.
bool judge(const std::vector<Row>& rows, const Options& options) {
    bool good = true;
    const Row& few = rows.front();
    const Row& many = rows.back();
    if (options.judge_io) {
        constexpr std::uint64_t beside = 6;      // a heartbeat or a poll that falls into the time
        const auto io = [](const Recovery& r) { return r.writes + r.reads; };
        good = many.median(io) <= few.median(io) + beside;
        std::printf("reads and writes from eviction to grant do %sgrow with the number of locks\n", good ? "not " : "");
        return good;
    }
    for (const auto what : {&Recovery::first, &Recovery::last}) {
        const double a = few.ms(what), b = many.ms(what);
        const bool within = b <= a * bound_ratio || b - a <= bound_ms;
        std::printf("%s grant: %u locks / %u locks = %.2f, %.2f ms more: %s the bound (20 %% or 50 ms)\n",
                    what == &Recovery::first ? "first" : "last", many.locks, few.locks, ratio(b, a), b - a,
                    within ? "within" : "BEYOND");
        good = good && within;
    }
    return good;
}

int run(int argc, char** argv) {
    Options options;
    CLI::App app("Measures the time from the eviction of a node to the grant of its locks to another one.",
                 "sdlm_recovery");
    app.set_version_flag("--version", "sdlm_recovery " SDLM_VERSION);
    app.add_option("--directory", options.directory, "where to make the image (default /dev/shm)")->type_name("DIR");
    app.add_option("--locks", options.locks, "locks that the dead node held (default 10 1000 50000)")
        ->check(CLI::Range(1, 100'000))->type_name("N...");
    app.add_option("--rounds", options.rounds, "deaths for each of them; the median counts (default 3)")
        ->check(CLI::Range(1, 1000))->type_name("N");
    app.add_option("--waiting", options.waiting, "locks that the survivor waits for (default 16)")
        ->check(CLI::Range(1, 10'000))->type_name("N");
    app.add_option("--lease-ms", options.lease_ms, "lease (default 1000)")
        ->check(CLI::Range(1000, 60'000))->type_name("MS");
    app.add_flag("!--two-nodes", options.bystander, "no third node, which has to answer before the grant");
    app.add_flag("--judge-io", options.judge_io, "judge reads and writes instead of time");
    app.footer("Exit code: 0 within the bound, 1 not or failed, 2 usage.");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    const test::TempDir dir(options.directory);
    std::string device = dir.make_file("image", (slot_count + 1) * area_bytes);
    std::string reason;
    const auto loop = test::LoopDevice::attach(device, {.direct_io = true}, reason);
    if (loop != nullptr) device = loop->path();
    else std::fprintf(stderr, "sdlm_recovery: no loop device (%s): using the file\n", reason.c_str());

    std::vector<Row> rows;
    for (const unsigned count : options.locks) rows.push_back({.locks = count, .rounds = {}});
    for (unsigned round = 0; round < options.rounds; ++round)
        for (Row& row : rows) row.rounds.push_back(measure(device, options, row.locks));
    std::printf("sdlm_recovery " SDLM_VERSION ": %s, lease %u ms, %u waiting, %u nodes\n", device.c_str(),
                options.lease_ms, options.waiting, options.bystander ? 3 : 2);
    std::printf("medians of %u, ms, from the eviction\n", options.rounds);
    std::printf("%8s %14s %14s %16s %14s %8s %8s\n", "locks", "first grant", "last grant", "longest round",
                "from death", "writes", "reads");
    for (const Row& row : rows) print(row);
    return judge(rows, options) ? 0 : 1;
}

}  // namespace
}  // namespace sdlm::bench

int main(int argc, char** argv) { return sdlm::bench::bench_main("sdlm_recovery", sdlm::bench::run, argc, argv); }
