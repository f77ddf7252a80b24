// SPDX-License-Identifier: LGPL-2.1-or-later
// sdlm_sim: runs seeds of the simulation. Exit code 0: no violation; 1: a violation (or, with --expect-violation,
// none); 2: usage.
#include <CLI/CLI.hpp>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <unistd.h>

#include "disk/base/canary.hpp"
#include "tests/sim/violation.hpp"
#include "tests/sim/world.hpp"

namespace {

using sdlm::sim::FaultSet;
using sdlm::sim::Violation;
using sdlm::sim::World;
using sdlm::sim::WorldOptions;

struct Arguments {
    std::uint64_t seed = 1;
    std::uint64_t seeds = 1;
    std::int64_t seconds = 60;
    std::uint32_t nodes = 0;
    std::uint32_t block = 0;
    std::string faults = "all";
    std::int64_t gap_ms = 1'500;
    bool trace = false;
    std::size_t tail = 120;
    bool expect_violation = false;
    bool replay = false;
    bool verbose = false;
};

// What an assertion in the core leaves behind: abort() ends the process, so the seed is printed by the signal handler.
char abort_text[512];

void on_abort(int) {
    const auto written = ::write(STDOUT_FILENO, abort_text, std::strlen(abort_text));
    static_cast<void>(written);
    std::_Exit(1);
}

struct Totals {
    std::uint64_t events = 0, reads = 0, writes = 0, pages = 0, joins = 0, crashes = 0, lost = 0, leaves = 0,
                  evictions = 0, fenced = 0, certified = 0;
    std::uint64_t grants = 0, values = 0, requests = 0, refused = 0, deadlocks = 0, no_space = 0, ring_used_max = 0;
    void add(const World& world) {
        const auto& w = world.statistics();
        const auto& l = world.load_statistics();
        events += w.events, reads += w.reads, writes += w.writes, pages += w.pages, joins += w.joins,
            crashes += w.crashes;
        fenced += w.fenced, certified += w.certified;
        lost += w.lost, leaves += w.leaves, evictions += w.evictions;
        ring_used_max = std::max(ring_used_max, w.ring_used_max);
        grants += world.checker().grants_checked(), values += world.checker().lvb_checked();
        requests += l.requests, refused += l.would_block, deadlocks += l.deadlocks, no_space += l.no_space;
    }
    void print(const char* what) const {
        std::printf(
            "%s: %llu events, %llu reads, %llu writes (%llu pages, ring up to %llu), %llu joins, %llu crashes, %llu "
            "lost, "
            "%llu fenced, %llu certified by their guardians, %llu leaves, %llu evictions seen; %llu requests, "
            "%llu grants and %llu values checked, %llu would block, "
            "%llu deadlocks, %llu no space\n",
            what, n(events), n(reads), n(writes), n(pages), n(ring_used_max), n(joins), n(crashes), n(lost), n(fenced), n(certified), n(leaves),
            n(evictions), n(requests), n(grants), n(values), n(refused), n(deadlocks), n(no_space));
    }
    static unsigned long long n(std::uint64_t v) { return v; }
};

std::string replay_command(const Arguments& arguments, std::uint64_t seed) {
    std::string command = "sdlm_sim --seed " + std::to_string(seed) + " --seconds " +
                          std::to_string(arguments.seconds) + " --faults " + arguments.faults;
    if (arguments.nodes != 0) command += " --nodes " + std::to_string(arguments.nodes);
    if (arguments.gap_ms != 1'500) command += " --fault-gap-ms " + std::to_string(arguments.gap_ms);
    if (arguments.block != 0) command += " --block " + std::to_string(arguments.block);
    return command;
}

WorldOptions world_options(const Arguments& arguments, const FaultSet& faults, std::uint64_t seed) {
    return {.seed = seed,
            .seconds = arguments.seconds,
            .hosts = arguments.nodes,
            .block_bytes = arguments.block,
            .faults = faults,
            .fault_gap = sdlm::sim::ms(arguments.gap_ms),
            .trace_lines = 0};
}

// nullopt when no invariant was broken.
std::optional<std::string> run_seed(World& world) {
    try {
        world.run();
    } catch (const Violation& violation) {
        return violation.what();
    }
    return std::nullopt;
}

void print_failure(const Arguments& arguments, WorldOptions options, const std::string& what) {
    std::printf("seed %llu: %s\n", Totals::n(options.seed), what.c_str());
    if (arguments.expect_violation) return;
    options.trace_lines = arguments.trace ? 100'000'000 : arguments.tail;
    World again(options);
    const auto same = run_seed(again);
    std::printf("seed %llu: %s\n", Totals::n(options.seed), again.describe().c_str());
    for (const auto& line : again.trace_tail()) std::printf("  %s\n", line.c_str());
    if (!same || *same != what) std::printf("the replay ended otherwise: %s\n", same ? same->c_str() : "no violation");
    std::printf("replay: %s --trace\n", replay_command(arguments, options.seed).c_str());
}

int run(const Arguments& arguments, const FaultSet& faults) {
    Totals totals;
    std::uint64_t failures = 0;
    std::uint64_t seed = arguments.seed;
    for (; seed < arguments.seed + arguments.seeds; ++seed) {
        WorldOptions options = world_options(arguments, faults, seed);
        std::snprintf(abort_text, sizeof abort_text, "seed %llu: an assertion of the core failed\nreplay: %s --trace\n",
                      Totals::n(seed), replay_command(arguments, seed).c_str());
        World world(options);
        if (const auto what = run_seed(world)) {
            ++failures;
            print_failure(arguments, options, *what);
            break;
        }
        if (arguments.verbose) {
            Totals one;
            one.add(world);
            one.print(("seed " + std::to_string(seed) + ", " + world.describe()).c_str());
            std::fflush(stdout);
        }
        totals.add(world);
        if (!arguments.replay) continue;
        World again(options);
        if (run_seed(again) || again.digest() != world.digest()) {
            std::printf("seed %llu does not replay: digest differs\n", Totals::n(seed));
            return 1;
        }
    }
    if (arguments.expect_violation) {
        std::printf(failures != 0 ? "found, as expected, with seed %llu\n"
                                  : "no violation up to seed %llu: the planted bug was missed\n",
                    Totals::n(failures != 0 ? seed : seed - 1));
        return failures != 0 ? 0 : 1;
    }
    if (failures == 0)
        totals.print(
            (std::to_string(arguments.seeds) + " seeds from " + std::to_string(arguments.seed) + " without a violation")
                .c_str());
    return failures != 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    CLI::App app{"deterministic simulation of sdlm nodes on one shared disk"};
    app.add_option("--seed", arguments.seed, "first seed");
    app.add_option("--seeds", arguments.seeds, "number of seeds")->check(CLI::PositiveNumber);
    app.add_option("--seconds", arguments.seconds, "simulated seconds of each seed")->check(CLI::Range(10, 100'000));
    app.add_option("--nodes", arguments.nodes, "hosts (0: 3 to 5, drawn)")->check(CLI::Range(0, 64));
    app.add_option("--block", arguments.block, "block size (0: drawn)")->check(CLI::IsMember({0, 512, 4096}));
    app.add_option("--faults", arguments.faults, "all, none, mild, or a comma list; '-NAME' removes one");
    app.add_option("--fault-gap-ms", arguments.gap_ms, "mean time between two faults of the world")
        ->check(CLI::Range(1, 1'000'000));
    app.add_option("--tail", arguments.tail, "lines of trace printed with a violation");
    app.add_flag("--trace", arguments.trace, "print the whole trace of a violation");
    app.add_flag("--expect-violation", arguments.expect_violation,
                 "for canary builds: succeed when a violation is found");
#ifdef SDLM_CANARIES
    app.add_option("--canary", sdlm::canary, "the planted bug")->check(CLI::Range(1, 12))->required();
#endif
    app.add_flag("--replay", arguments.replay, "run each seed twice and compare");
    app.add_flag("--verbose", arguments.verbose, "one line for each seed");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const int code = app.exit(error);
        return code == 0 ? 0 : 2;
    }
    FaultSet faults;
    std::string bad;
    if (!FaultSet::parse(arguments.faults, faults, bad)) {
        std::fprintf(stderr, "sdlm_sim: --faults: no fault is called \"%s\"\n", bad.c_str());
        return 2;
    }
    std::signal(SIGABRT, on_abort);
    return run(arguments, faults);
}
