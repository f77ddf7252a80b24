// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/bench/bench_node.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <stdexcept>

namespace sdlm::bench {

BenchNode::BenchNode(const std::string& device, const disk::Superblock& superblock, NodeIndex number)
    : wakeup_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    std::promise<std::string> ready;
    auto problem = ready.get_future();
    thread_ = std::thread([&, told = false]() mutable {
        thread_main(device, superblock, number, [&](std::string text) {
            if (!std::exchange(told, true)) ready.set_value(std::move(text));
        });
    });
    const std::string text = problem.get();
    if (text.empty()) return;
    thread_.join();
    throw std::runtime_error("node " + std::to_string(number) + ": " + text);
}

void BenchNode::die() {
    call([this] { reactor_->stop(); });
    thread_.join();
}

BenchNode::~BenchNode() {
    if (!thread_.joinable()) return;
    try {
        call([this] { runtime_->leave(); });
    } catch (const std::exception& error) {
        std::fprintf(stderr, "sdlm_bench: a node does not leave: %s\n", error.what());
        std::_Exit(1);
    }
    thread_.join();
}

void BenchNode::thread_main(const std::string& device, const disk::Superblock& superblock, NodeIndex number,
                            const std::function<void(std::string)>& ready) {
    try {
        open(device, superblock, number, ready);
        reactor_->run();
    } catch (const std::exception& error) {
        ready(error.what());
    }
    runtime_.reset();
    reactor_.reset();
    device_.reset();
}

void BenchNode::open(const std::string& path, const disk::Superblock& superblock, NodeIndex number,
                     const std::function<void(std::string)>& ready) {
    auto device = disk::BlockDevice::open(path, {.writable = true});
    if (!device) throw std::runtime_error(path + ": " + describe(device.error()));
    device_ = std::make_unique<disk::BlockDevice>(std::move(*device));
    std::string message;
    auto reactor = disk::Reactor::create(tools::reactor_options(superblock), message);
    if (!reactor) throw std::runtime_error(message);
    reactor_ = std::move(*reactor);
    if (auto registered = reactor_->register_file(device_->fd()); !registered)
        throw std::runtime_error(describe(registered.error()));
    auto timing = heartbeat::make_timing(superblock.heartbeat_ms, superblock.lease_ms, superblock.io_timeout_ms);
    if (!timing) throw std::runtime_error(describe(timing.error()));
    node::Identity identity;
    identity.requested = number;
    identity.host.bytes[0] = static_cast<std::uint8_t>(number + 1);
    identity.boot = 1;
    identity.node_name = "bench" + std::to_string(number);
    identity.host_name = "bench";
    identity.version = SDLM_VERSION;
    identity.nonce_seed = static_cast<std::uint64_t>(disk::boottime_now().ns) + number;
    runtime_ = std::make_unique<tools::NodeRuntime>(
        *reactor_, *device_, superblock, *timing, identity,
        [this, ready](const node::NodeEvent& event) { happened(event, ready); });
    reactor_->watch(wakeup_.get(), POLLIN, [this](std::uint32_t) { take_calls(); });
    reactor_->set_round_end([this] {
        if (const auto hook = hook_) hook();      // a copy: it may replace itself
        const Instant wake = runtime_->pump();
        if (const auto hook = pump_hook_) hook();
        return wake;
    });
    runtime_->start();
}

void BenchNode::happened(const node::NodeEvent& event, const std::function<void(std::string)>& ready) {
    if (event_hook_) event_hook_(event);
    if (std::holds_alternative<node::Joined>(event)) {
        live_ = true;
        ready({});
    } else if (const auto* failed = std::get_if<node::JoinFailed>(&event)) {
        ready(failed->message);
        reactor_->stop();
    } else if (std::holds_alternative<node::Left>(event)) {
        reactor_->stop();
    } else if (const auto* lost = std::get_if<node::LeaseLost>(&event)) {
        // Whatever is measured from here on is void.
        std::fprintf(stderr, "sdlm_bench: a node lost its lease: %s; the machine or the device is too busy\n",
                     lost->reason.c_str());
        std::_Exit(1);
    }
}

void BenchNode::take_calls() {
    std::uint64_t count = 0;
    if (::read(wakeup_.get(), &count, sizeof count) < 0) return;
    std::vector<std::function<void()>> calls;
    {
        const std::lock_guard guard(mutex_);
        calls.swap(calls_);
    }
    for (const auto& call : calls) call();
}

void BenchNode::call(std::function<void()> work) {
    run([work = std::move(work)](const std::function<void()>& finish) {
        work();
        finish();
    });
}

void BenchNode::run(const std::function<void(std::function<void()>)>& start, Duration bound) {
    auto done = std::make_shared<std::promise<void>>();
    auto future = done->get_future();
    {
        const std::lock_guard guard(mutex_);
        calls_.push_back([start, done] { start([done] { done->set_value(); }); });
    }
    const std::uint64_t one = 1;
    if (::write(wakeup_.get(), &one, sizeof one) != static_cast<ssize_t>(sizeof one))
        throw std::runtime_error("eventfd");
    if (future.wait_for(std::chrono::nanoseconds(bound.ns)) != std::future_status::ready)
        throw std::runtime_error("a measurement did not end in time");
}

}  // namespace sdlm::bench
