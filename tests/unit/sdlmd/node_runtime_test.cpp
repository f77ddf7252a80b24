// SPDX-License-Identifier: LGPL-2.1-or-later
// Real cores on a real file or loop device through io_uring: two nodes driven by one reactor.
#include "tools/sdlmd/node_runtime.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "locks/core/mode.hpp"
#include "tests/support/loop_device.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/volume.hpp"

namespace sdlm::tools {
namespace {

using locks::Mode;

struct Client final : locks::LockEvents {
    void granted(locks::Handle, Mode mode, const locks::Lvb& lvb) override {
        grants.push_back(mode);
        last_lvb = lvb;
    }
    void refused(locks::Handle, locks::Refusal why) override { refusals.push_back(why); }
    void blocked(locks::Handle, Mode mode) override { blocked_by = mode; }
    void lease_lost() override { lost = true; }

    std::vector<Mode> grants;
    std::vector<locks::Refusal> refusals;
    Mode blocked_by = Mode::NL;
    locks::Lvb last_lvb;
    bool lost = false;
};

locks::Demand wanting(Mode mode) {
    locks::Demand demand;
    demand.want = locks::Want{.mode = mode};
    return demand;
}
locks::Demand using_mode(Mode mode) {
    locks::Demand demand;
    demand.used = mode;
    return demand;
}

struct Node {
    NodeRuntime& runtime() { return *runtime_; }
    locks::LockPort& locks() { return runtime_->locks(); }
    template <class Event>
    bool saw() const {
        return std::any_of(events.begin(), events.end(),
                           [](const node::NodeEvent& event) { return std::holds_alternative<Event>(event); });
    }

    std::unique_ptr<NodeRuntime> runtime_;
    Client client;
    std::vector<node::NodeEvent> events;
};

class NodeRuntimeTest : public testing::Test {
protected:
    void make(const test::VolumeOptions& volume, const std::string& path, unsigned buffers = 0) {
        superblock_ = test::format_volume(path, volume);
        auto device = disk::BlockDevice::open(path, {.writable = true});
        ASSERT_TRUE(device);
        device_ = std::make_unique<disk::BlockDevice>(std::move(*device));
        disk::ReactorOptions options = reactor_options(superblock_);
        if (buffers > 0) options.buffer_count = buffers;
        std::string message;
        auto reactor = disk::Reactor::create(options, message);
        ASSERT_TRUE(reactor) << message;
        reactor_ = std::move(*reactor);
        ASSERT_TRUE(reactor_->register_file(device_->fd()));
        reactor_->set_round_end([this] { return round_end(); });
    }

    void make(const test::VolumeOptions& volume) {
        make(volume, dir_.make_file("image", test::volume_bytes(volume)));
    }

    void add_node(NodeIndex number) {
        auto timing = heartbeat::make_timing(superblock_.heartbeat_ms, superblock_.lease_ms, superblock_.io_timeout_ms);
        ASSERT_TRUE(timing);
        node::Identity identity;
        identity.requested = number;
        identity.host.bytes[0] = static_cast<std::uint8_t>(number + 1);
        identity.boot = 1;
        identity.node_name = "node" + std::to_string(number);
        identity.host_name = "host";
        identity.version = "test";
        identity.nonce_seed = 100U + number;
        auto node = std::make_unique<Node>();
        node->runtime_ = std::make_unique<NodeRuntime>(
            *reactor_, *device_, superblock_, *timing, identity,
            [events = &node->events](const node::NodeEvent& event) { events->push_back(event); });
        node->runtime().start();
        nodes_.push_back(std::move(node));
    }

    void two_live_nodes() {
        add_node(0);
        add_node(1);
        run_until([&] { return a().saw<node::Joined>() && b().saw<node::Joined>(); });
        for (auto& node : nodes_) ASSERT_TRUE(node->locks().join("space", node->client));
    }

    Instant round_end() {
        Instant wake = bound_;
        for (auto& node : nodes_) wake = earlier(wake, node->runtime().pump());
        in_time_ = disk::boottime_now() < bound_;
        if (!in_time_ || done_()) reactor_->stop();
        return wake;
    }

    void run_until(std::function<bool()> done) {
        done_ = std::move(done);
        bound_ = disk::boottime_now() + milliseconds(30'000);
        reactor_->run();
        ASSERT_TRUE(in_time_) << "the condition did not come";
    }

    Node& a() { return *nodes_[0]; }
    Node& b() { return *nodes_[1]; }

    locks::Handle open(Node& node, const std::string& name) {
        auto handle = node.locks().open({"space", name});
        EXPECT_TRUE(handle);
        return handle ? *handle : locks::no_handle;
    }

    void hand_over_with_value();

    test::TempDir dir_;
    disk::Superblock superblock_;
    std::unique_ptr<test::LoopDevice> loop_;
    std::unique_ptr<disk::BlockDevice> device_;
    std::unique_ptr<disk::Reactor> reactor_;
    std::vector<std::unique_ptr<Node>> nodes_;
    std::function<bool()> done_ = [] { return false; };
    Instant bound_ = never;
    bool in_time_ = true;
};

void NodeRuntimeTest::hand_over_with_value() {
    two_live_nodes();
    const locks::Handle on_a = open(a(), "r");
    const locks::Handle on_b = open(b(), "r");
    a().locks().set_demand(on_a, wanting(Mode::EX));
    run_until([&] { return a().client.grants.size() == 1; });
    EXPECT_EQ(a().locks().held(on_a), Mode::EX);

    b().locks().set_demand(on_b, wanting(Mode::EX));
    run_until([&] { return a().client.blocked_by == Mode::EX; });
    EXPECT_TRUE(b().client.grants.empty());

    const std::array<std::byte, 3> value{std::byte{'l'}, std::byte{'v'}, std::byte{'b'}};
    a().locks().write_lvb(on_a, value, true);
    a().locks().set_demand(on_a, using_mode(Mode::NL));
    run_until([&] { return b().client.grants.size() == 1; });
    EXPECT_TRUE(b().client.last_lvb.valid);
    ASSERT_EQ(b().client.last_lvb.length, value.size());
    EXPECT_TRUE(std::equal(value.begin(), value.end(), b().client.last_lvb.bytes.begin()));
    EXPECT_FALSE(locks::writes_lvb(a().locks().held(on_a)));
}

TEST_F(NodeRuntimeTest, HandsALockOverWithItsValue) {
    make({});
    hand_over_with_value();
}

TEST_F(NodeRuntimeTest, OneBufferIsEnough) {
    const test::VolumeOptions volume;
    make(volume, dir_.make_file("image", test::volume_bytes(volume)), 1);
    hand_over_with_value();
    EXPECT_GT(a().runtime().counters().delayed + b().runtime().counters().delayed, 0U);
}

TEST_F(NodeRuntimeTest, LoopDeviceWithLargeBlocks) {
    const test::VolumeOptions volume{.block_bytes = 4096};
    std::string reason;
    const std::string file = dir_.make_file("image", test::volume_bytes(volume));
    loop_ = test::LoopDevice::attach(file, {.block_bytes = 4096}, reason);
    if (loop_ == nullptr) GTEST_SKIP() << reason;
    make(volume, loop_->path());
    hand_over_with_value();
}

TEST_F(NodeRuntimeTest, ATrylockIsRefused) {
    make({});
    two_live_nodes();
    const locks::Handle on_a = open(a(), "r");
    const locks::Handle on_b = open(b(), "r");
    a().locks().set_demand(on_a, wanting(Mode::PR));
    run_until([&] { return a().client.grants.size() == 1; });
    locks::Demand demand = wanting(Mode::EX);
    demand.want->noqueue = true;
    b().locks().set_demand(on_b, demand);
    run_until([&] { return !b().client.refusals.empty(); });
    EXPECT_EQ(b().client.refusals[0], locks::Refusal::would_block);
    EXPECT_EQ(a().locks().held(on_a), Mode::PR);
}

TEST_F(NodeRuntimeTest, LeavesCleanly) {
    make({});
    two_live_nodes();
    const locks::Handle on_a = open(a(), "r");
    a().locks().set_demand(on_a, wanting(Mode::EX));
    run_until([&] { return a().client.grants.size() == 1; });
    a().locks().close(on_a);
    a().locks().leave("space");
    a().runtime().leave();
    run_until([&] { return a().saw<node::Left>() && b().saw<node::PeerLeft>(); });
    EXPECT_EQ(a().runtime().status().state, node::NodeState::left);
    const locks::Handle on_b = open(b(), "r");
    b().locks().set_demand(on_b, wanting(Mode::EX));
    run_until([&] { return b().client.grants.size() == 1; });
}

TEST_F(NodeRuntimeTest, ATakenNumberIsRefusedWithASentence) {
    make({});
    add_node(2);
    run_until([&] { return a().saw<node::Joined>(); });
    add_node(2);
    run_until([&] { return b().saw<node::JoinFailed>(); });
    for (const auto& event : b().events) {
        const auto* failed = std::get_if<node::JoinFailed>(&event);
        if (failed != nullptr) {
            EXPECT_NE(failed->message.find("2"), std::string::npos) << failed->message;
        }
    }
    EXPECT_FALSE(a().saw<node::LeaseLost>());
}

TEST_F(NodeRuntimeTest, MayGoWithIoInFlight) {
    make({});
    add_node(0);
    a().runtime().pump();
    EXPECT_GT(a().runtime().in_flight(), 0U);
    nodes_.clear();
    run_until([&] {      // all buffers come back
        std::vector<disk::IoBuffer> buffers;
        for (auto buffer = reactor_->take_buffer(); !buffer.bytes.empty(); buffer = reactor_->take_buffer())
            buffers.push_back(buffer);
        for (const auto& buffer : buffers) reactor_->give_buffer(buffer);
        return buffers.size() == reactor_options(superblock_).buffer_count;
    });
}

}  // namespace
}  // namespace sdlm::tools
