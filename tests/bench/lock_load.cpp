// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/bench/lock_load.hpp"

#include <chrono>
#include <condition_variable>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>

namespace sdlm::bench {
namespace {

using locks::Handle;
using locks::Mode;

locks::Demand wanting(Mode mode, bool cache) {
    locks::Demand demand;
    demand.want = locks::Want{.mode = mode};
    demand.interest = false;
    demand.cache = cache;
    return demand;
}

locks::Demand released(bool cache) {
    locks::Demand demand;
    demand.interest = false;
    demand.cache = cache;
    return demand;
}

// Events that a load does not expect end the run.
struct Load : locks::LockEvents {
    explicit Load(std::string name) : lockspace(std::move(name)) {}
    void granted(Handle, Mode, const locks::Lvb&) override {}
    void refused(Handle, locks::Refusal) override { throw std::runtime_error(lockspace + ": a lock was refused"); }
    void blocked(Handle, Mode) override {}
    void lease_lost() override {}

    void join(BenchNode& node) {
        if (auto joined = node.locks().join(lockspace, *this); !joined)
            throw std::runtime_error(lockspace + ": " + describe(joined.error()));
    }
    Handle open(BenchNode& node, const std::string& name) {
        auto handle = node.locks().open({lockspace, name});
        if (!handle) throw std::runtime_error(lockspace + "/" + name + ": " + describe(handle.error()));
        return *handle;
    }
    const std::string lockspace;
};

// One more round at once. Never while I/O is awaited: a thread that spins is scheduled late on a busy machine.
void another_round(BenchNode& node) {
    node.reactor().post([] {});
}

struct UncontendedLoad final : Load {
    UncontendedLoad(BenchNode& n, RawFloor& f, std::uint64_t c)
        : Load("bench-uncontended"), node(n), floor(f), count(c) {}

    void begin(std::function<void()> on_end) {
        end = std::move(on_end);
        join(node);
        node.set_round_hook([this] { round(); });
    }
    void round() {
        if (waiting || node.runtime().in_flight() > 0) return;
        if (handle != locks::no_handle) {
            node.locks().close(handle);
            handle = locks::no_handle;
            return another_round(node);               // the release is seen by a pump of its own
        }
        if (result.acquire.count() == count) return stop();
        result.floor.add(floor.once());
        before = node.runtime().counters();
        started = disk::boottime_now();
        handle = open(node, "r" + std::to_string(number++ % 512));
        node.locks().set_demand(handle, wanting(Mode::EX, false));
        waiting = true;
    }
    void granted(Handle, Mode, const locks::Lvb&) override {
        result.acquire.add(disk::boottime_now() - started);
        const tools::RuntimeCounters& after = node.runtime().counters();
        result.writes += static_cast<double>(after.writes - before.writes);
        result.reads += static_cast<double>(after.reads - before.reads);
        waiting = false;
        another_round(node);
    }
    void stop() {
        node.set_round_hook(nullptr);
        node.locks().leave(lockspace);
        result.writes /= static_cast<double>(count);
        result.reads /= static_cast<double>(count);
        node.reactor().post(end);
    }

    BenchNode& node;
    RawFloor& floor;
    const std::uint64_t count;
    std::uint64_t number = 0;
    Handle handle = locks::no_handle;
    bool waiting = false;
    tools::RuntimeCounters before;
    Instant started;
    Uncontended result;
    std::function<void()> end;
};

struct CachedLoad final : Load {
    CachedLoad(BenchNode& n, std::uint64_t c) : Load("bench-cached"), node(n), count(c) {}

    void begin(std::function<void()> on_end) {
        end = std::move(on_end);
        join(node);
        handle = open(node, "r");
        node.locks().set_demand(handle, wanting(Mode::EX, true));
    }
    // The first grant pays for the mode. Batches begin with nothing under way; heartbeats and polls fall into few.
    void granted(Handle, Mode, const locks::Lvb&) override {
        if (!paid) {
            paid = true;
            node.locks().set_demand(handle, released(true));
            node.set_round_hook([this] { round(); });
            return another_round(node);
        }
        result.acquire.add(disk::boottime_now() - started);
        node.locks().set_demand(handle, released(true));
        waiting = false;
        another_round(node);
    }
    void round() {
        if (waiting) return;
        if (batch_begun && result.acquire.count() % Cached::batch == 0) {
            batch_done();
            if (result.acquire.count() >= count) return stop();
        }
        if (!batch_begun) {
            if (node.runtime().in_flight() > 0) return;
            batch_begun = true;
            io_before = io();
        }
        waiting = true;
        started = disk::boottime_now();
        node.locks().set_demand(handle, wanting(Mode::EX, true));
    }
    std::uint64_t io() const { return node.runtime().counters().writes + node.runtime().counters().reads; }
    void batch_done() {
        ++result.batches;
        if (io() == io_before) ++result.batches_without_io;
        batch_begun = false;
    }
    void stop() {
        node.set_round_hook(nullptr);
        node.locks().close(handle);
        node.locks().leave(lockspace);
        node.reactor().post(end);
    }

    BenchNode& node;
    const std::uint64_t count;
    Handle handle = locks::no_handle;
    bool paid = false;
    bool waiting = false;
    bool batch_begun = false;
    std::uint64_t io_before = 0;
    Instant started;
    Cached result;
    std::function<void()> end;
};

struct ThroughputLoad final : Load {
    ThroughputLoad(BenchNode& n, unsigned d, Duration s) : Load("bench-throughput"), node(n), depth(d), span(s) {}

    void begin(std::function<void()> on_end) {
        end = std::move(on_end);
        join(node);
        begun = disk::boottime_now();
        before = node.runtime().counters();
        for (unsigned client = 0; client < depth; ++client) request(client);
    }
    void request(unsigned client) {
        const Handle handle = open(node, std::to_string(client) + "-" + std::to_string(round++ % 4096));
        client_of.emplace(handle, client);
        node.locks().set_demand(handle, wanting(Mode::EX, false));
    }
    void granted(Handle handle, Mode, const locks::Lvb&) override {
        const unsigned client = client_of.at(handle);
        client_of.erase(handle);
        ++result.locks;
        node.locks().close(handle);
        if (disk::boottime_now() - begun < span) return request(client);
        if (!client_of.empty()) return;
        const tools::RuntimeCounters& after = node.runtime().counters();
        result.writes = after.writes - before.writes;
        result.reads = after.reads - before.reads;
        result.span = disk::boottime_now() - begun;
        // A copy: the load is gone as soon as the waiting thread hears of the end.
        node.reactor().post([this, finish = end] {
            node.locks().leave(lockspace);
            finish();
        });
    }

    BenchNode& node;
    const unsigned depth;
    const Duration span;
    std::uint64_t round = 0;
    std::unordered_map<Handle, unsigned> client_of;
    tools::RuntimeCounters before;
    Instant begun;
    Throughput result;
    std::function<void()> end;
};

// One node's part of the hand-over; events are awaited by the measuring thread.
struct HandoverLoad final : Load {
    explicit HandoverLoad(BenchNode& n) : Load("bench-handover"), node(n) {
        node.call([this] {
            join(node);
            handle = open(node, "r");
        });
    }
    ~HandoverLoad() override {
        node.call([this] {
            node.locks().close(handle);
            node.locks().leave(lockspace);
        });
    }
    void granted(Handle, Mode, const locks::Lvb&) override {
        const std::lock_guard guard(mutex);
        granted_at = disk::boottime_now();
        is_granted = true;
        changed.notify_all();
    }
    void blocked(Handle, Mode mode) override {
        const std::lock_guard guard(mutex);
        is_blocked = mode != Mode::NL;
        changed.notify_all();
    }
    void want() {
        node.call([this] { node.locks().set_demand(handle, wanting(Mode::EX, true)); });
    }
    Instant release() {
        Instant at;
        node.call([this, &at] {
            {
                const std::lock_guard guard(mutex);
                is_granted = false;
                is_blocked = false;
            }
            at = disk::boottime_now();
            node.locks().set_demand(handle, released(true));
        });
        return at;
    }
    void await(const bool& flag) {
        std::unique_lock lock(mutex);
        if (!changed.wait_for(lock, std::chrono::seconds(30), [&] { return flag; }))
            throw std::runtime_error("hand-over: no event within 30 s");
    }

    BenchNode& node;
    Handle handle = locks::no_handle;
    std::mutex mutex;
    std::condition_variable changed;
    bool is_granted = false;
    bool is_blocked = false;
    Instant granted_at;
};

template <class AnyLoad>
void run_load(BenchNode& node, AnyLoad& load) {
    node.run([&load](std::function<void()> finish) { load.begin(std::move(finish)); });
}

}  // namespace

Uncontended measure_uncontended(BenchNode& node, RawFloor& floor, std::uint64_t count) {
    UncontendedLoad load(node, floor, count);
    run_load(node, load);
    return load.result;
}

Cached measure_cached(BenchNode& node, std::uint64_t count) {
    CachedLoad load(node, count);
    run_load(node, load);
    return load.result;
}

Throughput measure_throughput(BenchNode& node, unsigned depth, Duration span) {
    ThroughputLoad load(node, depth, span);
    run_load(node, load);
    return load.result;
}

Samples measure_handover(BenchNode& a, BenchNode& b, std::uint64_t count) {
    HandoverLoad on_a(a);
    HandoverLoad on_b(b);
    HandoverLoad* holder = &on_a;
    HandoverLoad* waiter = &on_b;
    Samples samples;
    holder->want();
    holder->await(holder->is_granted);
    for (std::uint64_t i = 0; i < count; ++i) {
        waiter->want();
        holder->await(holder->is_blocked);
        // Holders keep a lock for a while: a waiter that polls more slowly the longer it waits must show here.
        std::this_thread::sleep_for(std::chrono::milliseconds(i % 5 * 10));
        const Instant released_at = holder->release();
        waiter->await(waiter->is_granted);
        samples.add(waiter->granted_at - released_at);
        std::swap(holder, waiter);
    }
    return samples;
}

Idle measure_idle(BenchNode& node, Duration span) {
    tools::RuntimeCounters before;
    tools::RuntimeCounters after;
    Instant start;
    Instant end;
    node.call([&] {
        before = node.runtime().counters();
        start = disk::boottime_now();
    });
    std::this_thread::sleep_for(std::chrono::nanoseconds(span.ns));
    node.call([&] {
        after = node.runtime().counters();
        end = disk::boottime_now();
    });
    const double seconds = static_cast<double>((end - start).ns) / 1e9;
    return {static_cast<double>(after.writes - before.writes) / seconds,
            static_cast<double>(after.reads - before.reads) / seconds};
}

struct HeldLocks::Client final : Load {
    Client() : Load("bench-held") {}
    void granted(Handle, Mode, const locks::Lvb&) override {
        if (--missing == 0) finish();
    }
    std::vector<Handle> handles;
    unsigned missing = 0;
    std::function<void()> finish;
};

HeldLocks::HeldLocks(BenchNode& node, unsigned count) : node_(node), client_(std::make_unique<Client>()) {
    node_.run([this, count](std::function<void()> finish) {
        client_->finish = std::move(finish);
        client_->join(node_);
        client_->missing = count;
        for (unsigned i = 0; i < count; ++i) {
            client_->handles.push_back(client_->open(node_, std::to_string(i)));
            node_.locks().set_demand(client_->handles.back(), wanting(Mode::EX, true));
        }
    });
}

HeldLocks::~HeldLocks() {
    node_.call([this] {
        for (const Handle handle : client_->handles) node_.locks().close(handle);
        node_.locks().leave(client_->lockspace);
    });
}

}  // namespace sdlm::bench
