// SPDX-License-Identifier: LGPL-2.1-or-later
#include "troubled_nodes.hpp"

#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

namespace sdlm {
namespace {

std::string range(std::uint64_t at, std::uint64_t bytes) {
    return " at=" + std::to_string(at) + " bytes=" + std::to_string(bytes);
}

}  // namespace

std::string in_slot(unsigned node) { return range(slot_at(node), block); }
std::string in_area(unsigned node) { return range(area_at(node), area_bytes); }
std::string in_slots() { return range(slots_at, slot_count * block); }

std::string view_name(const testing::TestParamInfo<View>& info) {
    return info.param == View::loop ? "Loop" : info.param == View::file ? "File" : "Plain";
}

void TroubledNodes::SetUp() {
    if (::access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "no access to /dev/fuse";
    if (GetParam() == View::loop && ::access("/dev/loop-control", R_OK | W_OK) != 0)
        GTEST_SKIP() << "no access to /dev/loop-control";
    backing_ = dir_.make_file("backing", image_bytes);
    format(backing_);
}

void TroubledNodes::format(const std::string& image) {
    test::ChildProcess mkfs({MKFS_PROGRAM, "-f", "-N", std::to_string(slot_count), "-J", "256K", "-b",
                             std::to_string(block), "--lease-ms", std::to_string(lease_ms_), "--heartbeat-ms",
                             std::to_string(heartbeat_ms_), image});
    if (mkfs.wait().code != 0) throw std::runtime_error("mkfs.sdlm: " + mkfs.err());
}

void TroubledNodes::open_view(unsigned node) {
    if (nodes_.size() <= node) nodes_.resize(node + 1);
    Node& n = nodes_[node];
    if (n.disk || GetParam() == View::plain) return;
    n.disk = std::make_unique<test::FaultDisk>(backing_, dir_.file("disk-" + std::to_string(node)));
    if (GetParam() == View::file) return;
    std::string reason;
    n.loop = test::LoopDevice::attach(n.disk->image(), {.block_bytes = block}, reason);
    if (!n.loop) throw std::runtime_error(reason);
}

test::ChildProcess& TroubledNodes::launch(unsigned node) {
    open_view(node);
    Node& n = nodes_[node];
    if (::mkdir(mount(node).c_str(), 0755) != 0 && errno != EEXIST) throw std::runtime_error("mkdir " + mount(node));
    const std::string& device = n.loop ? n.loop->path() : n.disk ? n.disk->image() : backing_;
    n.daemon = std::make_unique<test::ChildProcess>(
        std::vector<std::string>{SDLMD_PROGRAM, "--device", device, "--node", std::to_string(node), "--run-dir",
                                 run_dir(node), "--mount", mount(node)});
    n.daemon->wait_for_stderr(": joining");      // or its end
    return *n.daemon;
}

void TroubledNodes::start(unsigned node) {
    launch(node);
    become_live(node);
}

void TroubledNodes::become_live(unsigned node) {
    ASSERT_TRUE(daemon(node).wait_for_stderr(": mounted", 60'000)) << daemon(node).err();
    ASSERT_EQ(::mkdir((mount(node) + "/d").c_str(), 0755), 0);
}

void TroubledNodes::stop(unsigned node) {
    daemon(node).kill(SIGTERM);
    daemon(node).wait();
}

void TroubledNodes::kill(unsigned node) {
    daemon(node).kill(SIGKILL);
    daemon(node).wait(0);      // its guardian may keep the log open
    ::umount2(mount(node).c_str(), MNT_DETACH);
}

void TroubledNodes::TearDown() {
    for (Node& node : nodes_) {
        if (node.disk && !IsSkipped()) {
            try {
                node.disk->clear();
            } catch (const std::runtime_error&) {      // killed by the test
            }
        }
        if (node.daemon && node.daemon->running()) node.daemon->kill(SIGTERM);
    }
    for (unsigned node = 0; node < nodes_.size(); ++node) {
        if (!nodes_[node].daemon) continue;
        nodes_[node].daemon->wait();
        ::umount2(mount(node).c_str(), MNT_DETACH);
        const std::string& log = nodes_[node].daemon->err();
        EXPECT_EQ(log.find("broken invariant"), std::string::npos) << log;
        if (HasFailure()) std::printf("node %u:\n%s\n", node, log.c_str());
    }
}

nlohmann::json TroubledNodes::status(unsigned node) {
    test::ChildProcess tool({SDLM_PROGRAM, "--run-dir", run_dir(node), "status", "--json"});
    const test::ExitStatus end = tool.wait();
    // A node that has lost its lease tells its state with exit code 1.
    if (!end.exited || tool.out().empty()) throw std::runtime_error("sdlm status: " + tool.err());
    return nlohmann::json::parse(tool.out());
}

std::uint64_t TroubledNodes::counter(unsigned node, const std::string& name) {
    return status(node).at("counters").at(name).get<std::uint64_t>();
}

bool TroubledNodes::wait_counter(unsigned node, const std::string& name, std::uint64_t at_least) {
    for (int i = 0; i < 300; ++i) {
        if (counter(node, name) >= at_least) return true;
        pass_ms(50);
    }
    return false;
}

bool TroubledNodes::wait_hung(unsigned node) {
    for (int i = 0; i < 3000 && disk(node).count("hung") == 0; ++i) pass_ms(10);
    return disk(node).count("hung") > 0;
}

bool TroubledNodes::lost(unsigned node) {
    daemon(node).wait_for_stderr("LEASE LOST", 0);
    return daemon(node).err().find("LEASE LOST") != std::string::npos;
}

bool TroubledNodes::works(unsigned node) {
    LockUser user(file(node, "new-" + std::to_string(++names_)));
    if (!user.wait_granted()) return false;
    user.release();
    return true;
}

void TroubledNodes::read_logs() {
    for (Node& node : nodes_)
        if (node.daemon) node.daemon->wait_for_stderr("never said", 0);
}

void TroubledNodes::pass_ms(unsigned ms) {
    constexpr unsigned step_ms = 10;
    for (unsigned passed = 0; passed < ms; passed += step_ms) {
        ::usleep(step_ms * 1000);
        read_logs();
    }
}

}  // namespace sdlm
