// SPDX-License-Identifier: LGPL-2.1-or-later
// libdlm_load: what libdlm's locks cost over a real daemon, as ratios to the round trip of a socket and to the device's
// own write+read chain, measured in the same run. Not a test: it judges nothing.
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <sstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/bench/bench_main.hpp"
#include "disk/io/reactor.hpp"
#include "locks/libdlm/libdlm.h"
#include "tests/bench/raw_device.hpp"
#include "tests/bench/samples.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/loop_device.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/volume.hpp"

namespace sdlm::bench {
namespace {

struct Options {
    std::string directory = "/dev/shm";
    std::uint64_t samples = 2000;
    double seconds = 2;
    unsigned in_flight = 200;
    bool as_json = false;
};

[[noreturn]] void failed(const std::string& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

// A child that sends every packet back.
class Echo {
public:
    Echo() {
        int pair[2];
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) failed("socketpair");
        fd_ = pair[0];
        child_ = ::fork();
        if (child_ < 0) failed("fork");
        if (child_ == 0) {
            ::close(pair[0]);
            char buffer[256];
            for (ssize_t got; (got = ::recv(pair[1], buffer, sizeof buffer, 0)) > 0;)
                if (::send(pair[1], buffer, static_cast<std::size_t>(got), MSG_NOSIGNAL) < 0) break;
            ::_exit(0);
        }
        ::close(pair[1]);
    }
    ~Echo() {
        ::close(fd_);
        ::waitpid(child_, nullptr, 0);
    }
    Echo(const Echo&) = delete;
    Echo& operator=(const Echo&) = delete;
    void round_trip() const {
        char packet[96] = {};
        if (::send(fd_, packet, sizeof packet, MSG_NOSIGNAL) < 0 || ::recv(fd_, packet, sizeof packet, 0) <= 0)
            failed("echo");
    }

private:
    int fd_ = -1;
    pid_t child_ = -1;
};

class Handle {
public:
    explicit Handle(const char* name) : name_(name), ls_(dlm_create_lockspace(name, 0600)) {
        if (ls_ == nullptr) failed("dlm_create_lockspace");
    }
    ~Handle() { dlm_release_lockspace(name_, ls_, 1); }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    dlm_lshandle_t get() const { return ls_; }

private:
    const char* name_;
    dlm_lshandle_t ls_;
};

void expect(int status, int wanted, const char* what) {
    if (status != wanted) throw std::runtime_error(std::string(what) + ": status " + std::to_string(status));
}

void lock_wait(dlm_lshandle_t ls, struct dlm_lksb& lksb, const std::string& name) {
    if (dlm_ls_lock_wait(ls, LKM_EXMODE, &lksb, 0, name.data(), static_cast<unsigned>(name.size()), 0, nullptr, nullptr,
                         nullptr) != 0)
        failed("dlm_ls_lock_wait");
    expect(lksb.sb_status, 0, "lock");
}

void unlock_wait(dlm_lshandle_t ls, struct dlm_lksb& lksb) {
    if (dlm_ls_unlock_wait(ls, lksb.sb_lkid, 0, &lksb) != 0) failed("dlm_ls_unlock_wait");
    expect(lksb.sb_status, EUNLOCK, "unlock");
}

// Lock and unlock again and again with `in_flight` of them under way, all from one thread that dispatches.
struct Load {
    dlm_lshandle_t ls = nullptr;
    bool fresh_names = false;
    Instant end{};
    bool ending = false;
    std::uint64_t pairs = 0, next_name = 0, open = 0;
};

struct Slot {
    Load* load = nullptr;
    struct dlm_lksb lksb {};
    std::string name;
    void lock() {
        if (load->fresh_names || name.empty())
            name = (load->fresh_names ? "fresh-" : "same-") + std::to_string(load->next_name++);
        ++load->open;
        if (dlm_ls_lock(load->ls, LKM_EXMODE, &lksb, 0, name.data(), static_cast<unsigned>(name.size()), 0, completed,
                        this, nullptr, nullptr) != 0)
            failed("dlm_ls_lock");
    }
    static void completed(void* argument) {
        Slot& slot = *static_cast<Slot*>(argument);
        if (slot.lksb.sb_status == 0) {
            if (dlm_ls_unlock(slot.load->ls, slot.lksb.sb_lkid, 0, &slot.lksb, &slot) != 0) failed("dlm_ls_unlock");
            return;
        }
        expect(slot.lksb.sb_status, EUNLOCK, "completion");
        Load& load = *slot.load;
        --load.open;
        // The clock is for the loop below: dlm_dispatch goes on for as long as there is something to deliver.
        if (++load.pairs % 16 == 0 && disk::boottime_now() >= load.end) load.ending = true;
        if (!load.ending) slot.lock();
    }
};

double pairs_per_second(Load& load, unsigned in_flight, double span_seconds) {
    std::deque<Slot> slots(in_flight);
    const Instant start = disk::boottime_now();
    load.end = start + Duration{static_cast<std::int64_t>(span_seconds * 1e9)};
    load.ending = false;
    load.pairs = 0;
    if (!load.fresh_names) load.next_name = 0;
    for (Slot& slot : slots) {
        slot.load = &load;
        slot.lock();
    }
    const int fd = dlm_ls_get_fd(load.ls);
    while (load.open > 0) {
        pollfd readable{fd, POLLIN, 0};
        if (::poll(&readable, 1, 10'000) == 0) throw std::runtime_error("no callback for 10 s");
        if (dlm_dispatch(fd) != 0) failed("dlm_dispatch");
    }
    return static_cast<double>(load.pairs) * 1e9 / static_cast<double>((disk::boottime_now() - start).ns);
}

// A child that takes packets and does nothing: the socket's own rate, one way.
class Sink {
public:
    Sink() {
        int pair[2];
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) failed("socketpair");
        fd_ = pair[0];
        child_ = ::fork();
        if (child_ < 0) failed("fork");
        char packet[96];
        if (child_ == 0) {
            ::close(pair[0]);
            while (::recv(pair[1], packet, sizeof packet, 0) > 0) {
            }
            ::_exit(0);
        }
        ::close(pair[1]);
    }
    ~Sink() {
        ::close(fd_);
        ::waitpid(child_, nullptr, 0);
    }
    Sink(const Sink&) = delete;
    Sink& operator=(const Sink&) = delete;
    double packets_per_second(double span_seconds) const {
        const char packet[96] = {};
        const Instant start = disk::boottime_now();
        const Instant end = start + Duration{static_cast<std::int64_t>(span_seconds * 1e9)};
        std::uint64_t sent = 0;
        for (; sent % 64 != 0 || disk::boottime_now() < end; ++sent)
            if (::send(fd_, packet, sizeof packet, MSG_NOSIGNAL) < 0) failed("send");
        return static_cast<double>(sent) * 1e9 / static_cast<double>((disk::boottime_now() - start).ns);
    }

private:
    int fd_ = -1;
    pid_t child_ = -1;
};

// Processor time, of a process with its threads.
double cpu_us(pid_t pid) {
    std::string stat = test::read_file("/proc/" + std::to_string(pid) + "/stat");
    std::istringstream fields(stat.substr(stat.rfind(')') + 2));
    std::string skipped;
    for (unsigned i = 0; i < 11; ++i) fields >> skipped;
    double user = 0, system = 0;
    fields >> user >> system;
    return (user + system) * 1e6 / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

struct Figures {
    Samples echo, floor, pair_cached, lock_fresh;
    double packets = 0, cached = 0, fresh = 0;
    double client_us = 0, daemon_us = 0;       // processor time of a cached pair
};

template <class Work>
void measure(Samples& samples, const Work& work) {
    const Instant start = disk::boottime_now();
    work();
    samples.add(disk::boottime_now() - start);
}

void measure_latency(Figures& f, const Options& options, const Echo& echo, RawFloor& floor, dlm_lshandle_t ls) {
    struct dlm_lksb lksb {};
    lock_wait(ls, lksb, "cached");
    unlock_wait(ls, lksb);
    for (std::uint64_t i = 0; i < options.samples; ++i) {
        measure(f.echo, [&] { echo.round_trip(); });
        measure(f.pair_cached, [&] {
            lock_wait(ls, lksb, "cached");
            unlock_wait(ls, lksb);
        });
        f.floor.add(floor.once());
        measure(f.lock_fresh, [&] { lock_wait(ls, lksb, "single-" + std::to_string(i)); });
        unlock_wait(ls, lksb);
    }
}

void measure_rates(Figures& f, const Options& options, const Sink& sink, pid_t daemon, dlm_lshandle_t ls) {
    Load cached{.ls = ls}, fresh{.ls = ls, .fresh_names = true};
    pairs_per_second(cached, options.in_flight, options.seconds / 4);
    constexpr unsigned turns = 4;
    for (unsigned turn = 0; turn < turns; ++turn) {
        f.packets += sink.packets_per_second(options.seconds / turns) / turns;
        const double client_before = cpu_us(::getpid()), daemon_before = cpu_us(daemon);
        f.cached += pairs_per_second(cached, options.in_flight, options.seconds / turns) / turns;
        f.client_us += (cpu_us(::getpid()) - client_before) / static_cast<double>(cached.pairs) / turns;
        f.daemon_us += (cpu_us(daemon) - daemon_before) / static_cast<double>(cached.pairs) / turns;
        f.fresh += pairs_per_second(fresh, options.in_flight, options.seconds / turns) / turns;
    }
}

void print(const Figures& f, const Options& options) {
    const double round_trip = f.echo.us(50), limit = f.floor.us(50) * 2 + round_trip;
    if (options.as_json) {
        const nlohmann::json out = {
            {"round_trip_us", round_trip}, {"floor_us", f.floor.us(50)},
            {"cached_pair_us", f.pair_cached.us(50)}, {"cached_pair_p99_us", f.pair_cached.us(99)},
            {"cached_pair_round_trips", ratio(f.pair_cached.us(50), round_trip)},
            {"fresh_lock_us", f.lock_fresh.us(50)}, {"fresh_lock_of_limit", ratio(f.lock_fresh.us(50), limit)},
            {"packets_per_s", f.packets}, {"cached_pairs_per_s", f.cached}, {"fresh_pairs_per_s", f.fresh},
            {"client_cpu_us", f.client_us}, {"daemon_cpu_us", f.daemon_us}, {"in_flight", options.in_flight}};
        std::printf("%s\n", out.dump(2).c_str());
        return;
    }
    std::printf("socket round trip                      p50 %9.1f us   p99 %9.1f us\n", round_trip, f.echo.us(99));
    std::printf("device: 1 block written, slots read    p50 %9.1f us   p99 %9.1f us\n", f.floor.us(50), f.floor.us(99));
    std::printf("cached lock_wait + unlock_wait         p50 %9.1f us   p99 %9.1f us   = %.2f round trips (goal 4)\n",
                f.pair_cached.us(50), f.pair_cached.us(99), ratio(f.pair_cached.us(50), round_trip));
    std::printf(
        "new lock_wait                          p50 %9.1f us   p99 %9.1f us   = %.2f of 2 floors + 1 round trip\n",
        f.lock_fresh.us(50), f.lock_fresh.us(99), ratio(f.lock_fresh.us(50), limit));
    std::printf("socket, one way                        %12.0f packets/s\n", f.packets);
    std::printf("cached pairs, %4u in flight           %12.0f pairs/s = 4 messages each: %.2f of the socket's rate\n",
                options.in_flight, f.cached, ratio(f.cached * 4, f.packets));
    std::printf("    processor time of a pair: client %.1f us, daemon %.1f us\n", f.client_us, f.daemon_us);
    std::printf("new pairs, %4u in flight              %12.0f pairs/s\n", options.in_flight, f.fresh);
}

int run(int argc, char** argv) {
    Options options;
    CLI::App app("Measures libdlm over a node daemon that it starts on a loop device of its own.", "libdlm_load");
    app.set_version_flag("--version", "libdlm_load " SDLM_VERSION);
    app.add_option("--directory", options.directory, "where to make the image (default /dev/shm)")->type_name("DIR");
    app.add_option("--samples", options.samples, "locks for the latencies (default 2000)")
        ->check(CLI::Range(10, 1000000));
    app.add_option("--seconds", options.seconds, "time for each rate (default 2)")->check(CLI::Range(0.1, 60.0));
    app.add_option("--in-flight", options.in_flight, "for the rates (default 200)")->check(CLI::Range(1, 100000));
    app.add_flag("--json", options.as_json, "print one JSON object");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    const test::TempDir dir(options.directory);
    const test::VolumeOptions volume{.slot_count = 16, .area_bytes = 8 * 1024 * 1024,
                                     .heartbeat_ms = limits::heartbeat_ms_default,
                                     .lease_ms = limits::lease_ms_default, .io_timeout_ms = 1000};
    std::string device = dir.make_file("image", test::volume_bytes(volume));
    std::string reason;
    auto loop = test::LoopDevice::attach(device, {}, reason);
    if (loop != nullptr) device = loop->path();
    else std::fprintf(stderr, "libdlm_load: no loop device (%s): using the file\n", reason.c_str());
    const disk::Superblock superblock = test::format_volume(device, volume);
    const std::string run_dir = dir.file("run");
    test::ChildProcess daemon({SDLMD_PROGRAM, "--device", device, "--node", "0", "--run-dir", run_dir});
    if (!daemon.wait_for_stderr("live as node")) throw std::runtime_error("sdlmd: " + daemon.err());
    ::setenv("SDLM_RUN_DIR", run_dir.c_str(), 1);
    Figures figures;
    const Echo echo;
    const Sink sink;
    RawFloor floor(device, superblock, 15);
    {
        const Handle handle("bench");
        measure_latency(figures, options, echo, floor, handle.get());
        measure_rates(figures, options, sink, daemon.pid(), handle.get());
    }
    print(figures, options);
    daemon.kill(SIGTERM);
    return daemon.wait().code == 0 ? 0 : 1;
}

}  // namespace
}  // namespace sdlm::bench

int main(int argc, char** argv) { return sdlm::bench::bench_main("libdlm_load", sdlm::bench::run, argc, argv); }
