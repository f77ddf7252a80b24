// SPDX-License-Identifier: LGPL-2.1-or-later
// sdlm_bench: what locks cost, measured against what the device and FUSE cost by themselves, in one interleaved run.
// Not a test: it judges nothing.
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "tests/bench/bench_main.hpp"
#include "tests/bench/bare_fuse.hpp"
#include "tests/bench/fuse_load.hpp"
#include "tests/bench/lock_load.hpp"
#include "tests/bench/raw_device.hpp"
#include "tests/support/loop_device.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/volume.hpp"

namespace sdlm::bench {
namespace {

using nlohmann::json;

struct Options {
    std::string device;
    std::string directory = "/tmp";
    std::uint32_t block_bytes = 512;
    std::uint64_t samples = 1000;
    double seconds = 2;
    bool buffered_loop = false;
    bool no_fuse = false;
    bool as_json = false;
};

constexpr unsigned depths[] = {1, 16, 64, 256};
constexpr unsigned slot_count = 16;
constexpr NodeIndex unused_node = slot_count - 1;
constexpr std::uint64_t handovers = 200;
constexpr unsigned turns = 4;      // of raw device and locks, per depth

Duration seconds(double n) { return Duration{static_cast<std::int64_t>(n * 1e9)}; }

// A number with its unit, for people; the same goes into the JSON.
class Report {
public:
    explicit Report(bool as_json) : as_json_(as_json) {}
    void section(const std::string& key, const std::string& title) {
        section_ = key;
        if (!as_json_) std::printf("\n%s\n", title.c_str());
    }
    void value(const std::string& key, const std::string& label, double number, const char* unit) {
        json_[section_][key] = number;
        if (!as_json_) std::printf("  %-58s %12.2f %s\n", label.c_str(), number, unit);
        std::fflush(stdout);
    }
    void times(const std::string& key, const std::string& label, const Samples& samples) {
        json_[section_][key] = {{"p50_us", samples.us(50)}, {"p99_us", samples.us(99)}, {"count", samples.count()}};
        if (!as_json_)
            std::printf("  %-38s p50 %10.1f us   p99 %10.1f us\n", label.c_str(), samples.us(50), samples.us(99));
        std::fflush(stdout);
    }
    void note(const std::string& text) const {
        if (!as_json_) std::printf("  %s\n", text.c_str());
    }
    void set(const std::string& key, json value) { json_[key] = std::move(value); }
    void finish() const {
        if (as_json_) std::printf("%s\n", json_.dump(2).c_str());
    }

private:
    const bool as_json_;
    std::string section_;
    json json_ = json::object();
};

void report_latency(Report& report, BenchNode& node, RawFloor& floor, std::uint64_t samples) {
    report.section("uncontended", "Uncontended acquire (two live nodes, nothing cached), in turn with the floor");
    const Uncontended result = measure_uncontended(node, floor, samples);
    report.times("floor", "raw: 1 block written, all slots read", result.floor);
    report.times("acquire", "acquire", result.acquire);
    report.value("ratio_p50", "acquire p50 / raw p50", ratio(result.acquire.us(50), result.floor.us(50)), "");
    report.value("writes", "device writes per acquire", result.writes, "");
    report.value("reads", "device reads per acquire", result.reads, "");

    report.section("cached", "Acquire of a cached mode again");
    const Cached cached = measure_cached(node, samples * 10);
    report.times("acquire", "acquire", cached.acquire);
    report.value("batches", "batches of " + std::to_string(Cached::batch) + " acquires",
                 static_cast<double>(cached.batches), "");
    report.value("batches_without_io", "... without any device I/O (else: heartbeat, poll)",
                 static_cast<double>(cached.batches_without_io), "");
}

void report_throughput(Report& report, const std::string& device, const disk::Superblock& superblock, BenchNode& node,
                       double span) {
    report.section("throughput",
                   "Acquires per second by requests in flight, in turn with the device's write+read chains");
    for (const unsigned depth : depths) {
        Throughput locks;
        double chains = 0;
        for (unsigned turn = 0; turn < turns; ++turn) {
            chains += raw_chains_per_second(device, superblock, unused_node, depth, seconds(span / turns)) / turns;
            locks.add(measure_throughput(node, depth, seconds(span / turns)));
        }
        const double count = static_cast<double>(locks.locks);
        const double per_second = count * 1e9 / static_cast<double>(locks.span.ns);
        const std::string at = std::to_string(depth);
        report.value("locks_" + at, at + " in flight: acquires/s", per_second, "");
        report.value("chains_" + at, at + " in flight: raw chains/s", chains, "");
        report.value("ratio_" + at, at + " in flight: acquires / raw chains", ratio(per_second, chains), "");
        report.value("writes_" + at, at + " in flight: device writes per lock",
                     ratio(static_cast<double>(locks.writes), count), "");
        report.value("reads_" + at, at + " in flight: device reads per lock",
                     ratio(static_cast<double>(locks.reads), count), "");
    }
}

void report_idle(Report& report, BenchNode& node, double span) {
    report.section("idle", "Idle node, device I/O per second");
    const Idle nothing = measure_idle(node, seconds(span * 2));
    report.value("nothing_writes", "holding nothing: writes/s", nothing.writes_per_second, "");
    report.value("nothing_reads", "holding nothing: reads/s", nothing.reads_per_second, "");
    const HeldLocks held(node, 10);
    const Idle something = measure_idle(node, seconds(span * 2));
    report.value("holding_writes", "holding 10 locks: writes/s", something.writes_per_second, "");
    report.value("holding_reads", "holding 10 locks: reads/s", something.reads_per_second, "");
}

void report_fuse(Report& report, BenchNode& node, const std::string& bare, const test::TempDir& dir,
                 std::uint64_t samples) {
    const std::string mount = dir.file("dlmfs");
    ::mkdir(mount.c_str(), 0700);
    report.section("fuse", "FUSE open() + close(), in turn with a bare FUSE file system");
    const FuseTimes times = measure_fuse(node, bare, mount, samples);
    report.times("bare", "bare FUSE", times.bare);
    report.times("cached", "dlmfs, lock cached", times.cached);
    report.times("uncached", "dlmfs, new lock", times.uncached);
    report.value("ratio_cached", "cached p50 / bare p50", ratio(times.cached.us(50), times.bare.us(50)), "");
    report.value("ratio_uncached", "new lock p50 / bare p50", ratio(times.uncached.us(50), times.bare.us(50)), "");
    ::rmdir(mount.c_str());
}

void measure(const Options& options, Report& report, const std::string& device, const test::TempDir& dir,
             const std::string& bare) {
    const disk::Superblock superblock = test::format_volume(
        device, {.block_bytes = options.block_bytes, .slot_count = slot_count,
                 .area_bytes = 4 * 1024 * 1024, .heartbeat_ms = limits::heartbeat_ms_default,
                 .lease_ms = limits::lease_ms_default, .io_timeout_ms = 1000});
    report.set("device", device);
    report.set("block_bytes", options.block_bytes);
    report.set("slots", slot_count);
    RawFloor floor(device, superblock, unused_node);
    BenchNode a(device, superblock, 0);
    BenchNode b(device, superblock, 1);
    report_latency(report, a, floor, options.samples);
    report_throughput(report, device, superblock, a, options.seconds);
    report.section("handover", "Release on one node to grant on the other");
    report.times("latency", "release to grant", measure_handover(a, b, handovers));
    report_idle(report, a, options.seconds);
    if (!bare.empty()) report_fuse(report, a, bare, dir, options.samples);
}

int run(int argc, char** argv) {
    Options options;
    CLI::App app("Measures sdlm's locks against the device and FUSE themselves. Without DEVICE it makes an image and a "
                 "loop device over it, and removes both.", "sdlm_bench");
    app.set_version_flag("--version", "sdlm_bench " SDLM_VERSION);
    app.add_option("DEVICE", options.device, "block device or image file; ALL ITS CONTENT IS LOST");
    app.add_option("--directory", options.directory, "where to make the image (default /tmp)")->type_name("DIR");
    app.add_option("--block", options.block_bytes, "block size (default 512)")
        ->check(CLI::IsMember({512, 4096}))->type_name("512|4096");
    app.add_option("--samples", options.samples, "acquires for the latencies (default 1000)")
        ->check(CLI::Range(10, 100000))->type_name("N");
    app.add_option("--seconds", options.seconds, "time for each rate (default 2)")
        ->check(CLI::Range(0.1, 60.0))->type_name("S");
    app.add_flag("--buffered-loop", options.buffered_loop, "loop device through the page cache (default: direct I/O)");
    app.add_flag("--no-fuse", options.no_fuse, "leave the FUSE part out");
    app.add_flag("--json", options.as_json, "print one JSON object");
    app.footer("Exit code: 0 ok, 1 failed, 2 usage.");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    Report report(options.as_json);
    const test::TempDir dir(options.directory);
    std::optional<BareFuse> bare;
    const std::string bare_directory = dir.file("bare");
    if (!options.no_fuse) {
        ::mkdir(bare_directory.c_str(), 0700);
        bare.emplace(bare_directory);
    }
    std::string device = options.device;
    std::unique_ptr<test::LoopDevice> loop;
    if (device.empty()) {
        device = dir.make_file("image", 80 * 1024 * 1024);
        std::string reason;
        loop = test::LoopDevice::attach(
            device, {.block_bytes = options.block_bytes, .direct_io = !options.buffered_loop}, reason);
        if (loop == nullptr) std::fprintf(stderr, "sdlm_bench: no loop device (%s): using the file\n", reason.c_str());
        else device = loop->path();
    }
    if (!options.as_json)
        std::printf("sdlm_bench " SDLM_VERSION ": %s, blocks of %u bytes, %u slots, 2 live nodes\n", device.c_str(),
                    options.block_bytes, slot_count);
    measure(options, report, device, dir, bare ? bare_directory : std::string());
    report.finish();
    return 0;
}

}  // namespace
}  // namespace sdlm::bench

int main(int argc, char** argv) { return sdlm::bench::bench_main("sdlm_bench", sdlm::bench::run, argc, argv); }
