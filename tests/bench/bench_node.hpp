// SPDX-License-Identifier: LGPL-2.1-or-later
// A live node in a thread of its own: reactor and runtime, as in the daemon.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "disk/io/block_device.hpp"
#include "disk/io/reactor.hpp"
#include "tools/common/unique_fd.hpp"
#include "tools/sdlmd/node_runtime.hpp"

namespace sdlm::bench {

class BenchNode {
public:
    // Returns when the node is live. Throws std::runtime_error with a sentence.
    BenchNode(const std::string& device, const disk::Superblock& superblock, NodeIndex number);
    ~BenchNode();      // clean leave, unless it has died
    BenchNode(const BenchNode&) = delete;
    BenchNode& operator=(const BenchNode&) = delete;

    // Runs `work` on the node's thread and waits for its end.
    void call(std::function<void()> work);
    // Runs `start` on the node's thread and waits until finish() is called there. Throws after `bound`.
    void run(const std::function<void(std::function<void()> finish)>& start, Duration bound = milliseconds(120'000));

    // On the node's thread only:
    tools::NodeRuntime& runtime() { return *runtime_; }
    locks::LockPort& locks() { return runtime_->locks(); }
    disk::Reactor& reactor() { return *reactor_; }
    // Called at the end of each round, before the pump, until it is set to null.
    void set_round_hook(std::function<void()> hook) { hook_ = std::move(hook); }
    void set_pump_hook(std::function<void()> hook) { pump_hook_ = std::move(hook); }      // ... and after the pump
    void set_event_hook(std::function<void(const node::NodeEvent&)> hook) { event_hook_ = std::move(hook); }

    // Not on the node's thread: it stops without a word, as a killed daemon.
    void die();

private:
    void thread_main(const std::string& device, const disk::Superblock& superblock, NodeIndex number,
                     const std::function<void(std::string)>& ready);
    void open(const std::string& device, const disk::Superblock& superblock, NodeIndex number,
              const std::function<void(std::string)>& ready);
    void happened(const node::NodeEvent& event, const std::function<void(std::string)>& ready);
    void take_calls();

    tools::UniqueFd wakeup_;
    std::mutex mutex_;
    std::vector<std::function<void()>> calls_;      // guarded by mutex_
    std::unique_ptr<disk::BlockDevice> device_;
    std::unique_ptr<disk::Reactor> reactor_;
    std::unique_ptr<tools::NodeRuntime> runtime_;
    std::function<void()> hook_, pump_hook_;
    std::function<void(const node::NodeEvent&)> event_hook_;
    bool live_ = false;
    std::thread thread_;
};

}  // namespace sdlm::bench
