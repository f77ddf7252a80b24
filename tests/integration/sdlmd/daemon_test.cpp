// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <memory>
#include <vector>

#include "disk/io/block_device.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/volume.hpp"

namespace sdlm {
namespace {

class DaemonTest : public testing::Test {
protected:
    DaemonTest() {
        const test::VolumeOptions volume;
        device_ = dir_.make_file("disk.img", test::volume_bytes(volume));
        superblock_ = test::format_volume(device_, volume);
    }

    // Arguments beyond the device and a run directory named after the node.
    std::unique_ptr<test::ChildProcess> start(const std::string& name, std::vector<std::string> more = {}) {
        std::vector<std::string> argv{SDLMD_PROGRAM, "--device", device_, "--run-dir", run_dir(name), "--name", name};
        argv.insert(argv.end(), more.begin(), more.end());
        return std::make_unique<test::ChildProcess>(argv);
    }
    std::unique_ptr<test::ChildProcess> start_live(const std::string& name, std::vector<std::string> more = {}) {
        auto daemon = start(name, std::move(more));
        EXPECT_TRUE(daemon->wait_for_stderr("live as node")) << daemon->err();
        return daemon;
    }
    std::string run_dir(const std::string& name) const { return dir_.file("run-" + name); }
    std::string run_file(const std::string& name, const std::string& file) const {
        return test::read_file(run_dir(name) + "/" + file);
    }
    static void expect_end(test::ChildProcess& daemon, int code, const std::string& text) {
        const test::ExitStatus status = daemon.wait();
        EXPECT_TRUE(status.exited) << daemon.err();
        EXPECT_EQ(status.code, code) << daemon.err();
        EXPECT_NE(daemon.err().find(text), std::string::npos) << "no '" << text << "' in: " << daemon.err();
    }

    test::TempDir dir_;
    std::string device_;
    disk::Superblock superblock_;
};

TEST_F(DaemonTest, LivesAndLeaves) {
    auto daemon = start_live("a", {"--node", "2"});
    EXPECT_EQ(run_file("a", "state"), "live\n");
    EXPECT_EQ(run_file("a", "node"), "2\n");
    EXPECT_EQ(run_file("a", "pid"), std::to_string(daemon->pid()) + "\n");
    EXPECT_EQ(run_file("a", "uuid"), to_string(superblock_.uuid) + "\n");
    EXPECT_EQ(run_file("a", "device"), device_ + "\n");
    EXPECT_TRUE(std::filesystem::is_socket(run_dir("a") + "/control.sock"));
    daemon->kill(SIGTERM);
    expect_end(*daemon, 0, "left");
    EXPECT_EQ(run_file("a", "state"), "");
    EXPECT_EQ(run_file("a", "pid"), "");
    EXPECT_FALSE(std::filesystem::exists(run_dir("a") + "/control.sock"));
    // The slot is free at once.
    auto again = start_live("a", {"--node", "2"});
    again->kill(SIGINT);
    expect_end(*again, 0, "left");
}

TEST_F(DaemonTest, OneDaemonPerRunDirectory) {
    auto first = start_live("a");
    auto second = start("a");
    expect_end(*second, 1, "--run-dir");
    EXPECT_NE(second->err().find(std::to_string(first->pid())), std::string::npos) << second->err();
    EXPECT_EQ(run_file("a", "state"), "live\n");
}

TEST_F(DaemonTest, ATakenNumberIsRefused) {
    auto first = start_live("a", {"--node", "1"});
    auto second = start("b", {"--node", "1"});
    expect_end(*second, 1, "slot 1 is taken");
    EXPECT_TRUE(first->running());
    first->kill(SIGTERM);
    expect_end(*first, 0, "left");
}

TEST_F(DaemonTest, StoppedTooLongItLosesItsLease) {
    auto a = start_live("a");
    auto b = start_live("b");
    b->kill(SIGSTOP);
    EXPECT_TRUE(a->wait_for_stderr("was found dead and evicted by this node")) << a->err();
    b->kill(SIGCONT);
    expect_end(*b, 1, "LEASE LOST");
    EXPECT_EQ(run_file("b", "state"), "lost\n");
    EXPECT_EQ(run_file("a", "state"), "live\n");
}

TEST_F(DaemonTest, KilledAndStartedAgain) {
    auto a = start_live("a");
    auto b = start_live("b", {"--node", "3"});
    b->kill(SIGKILL);
    EXPECT_EQ(b->wait().signal, SIGKILL);
    auto again = start_live("b", {"--node", "3"});
    EXPECT_EQ(run_file("b", "node"), "3\n");
    again->kill(SIGTERM);
    expect_end(*again, 0, "left");
}

TEST_F(DaemonTest, WithAPolicyToStayItTellsOfItsLoss) {
    auto a = start_live("a");
    auto b = start_live("b", {"--on-lease-loss", "stay"});
    b->kill(SIGSTOP);
    EXPECT_TRUE(a->wait_for_stderr("was found dead and evicted by this node")) << a->err();
    b->kill(SIGCONT);
    EXPECT_TRUE(b->wait_for_stderr("staying")) << b->err();
    EXPECT_EQ(run_file("b", "state"), "lost\n");
    b->kill(SIGTERM);
    expect_end(*b, 1, "LEASE LOST");
}

TEST_F(DaemonTest, ADamagedSuperblockIsSaidAndSurvived) {
    auto device = disk::BlockDevice::open(device_, {.writable = true});
    ASSERT_TRUE(device);
    std::vector<std::byte> page(limits::page_bytes);
    ASSERT_TRUE(device->read(0, page));
    page[0x28] ^= std::byte{1};
    ASSERT_TRUE(device->write(0, page));
    auto daemon = start_live("a");
    EXPECT_NE(daemon->err().find("using the backup"), std::string::npos) << daemon->err();
    daemon->kill(SIGTERM);
    expect_end(*daemon, 0, "left");
}

TEST_F(DaemonTest, WhatIsNoVolume) {
    device_ = dir_.make_file("zeros.img", 1 << 20);
    expect_end(*start("a"), 1, "not an sdlm volume");
    device_ = dir_.file("missing");
    expect_end(*start("a"), 1, "No such file");
    device_ = dir_.path();
    expect_end(*start("a"), 1, "give a block device");
}

TEST_F(DaemonTest, Arguments) {
    expect_end(*start("a", {"--node", "4"}), 1, "slots 0 to 3");
    expect_end(*start("a", {"--node", "255"}), 2, "--node");
    expect_end(*start(std::string(65, 'x')), 2, "--name");
    expect_end(*start("a", {"--on-lease-loss", "panic"}), 2, "exit or stay");
    expect_end(*start("a", {"--mount"}), 2, "--mount");
    test::ChildProcess none({SDLMD_PROGRAM});
    expect_end(none, 2, "--device");
    test::ChildProcess version({SDLMD_PROGRAM, "--version"});
    expect_end(version, 0, "");
    EXPECT_EQ(version.out().rfind("sdlmd ", 0), 0U);
    test::ChildProcess help({SDLMD_PROGRAM, "--help"});
    expect_end(help, 0, "");
    EXPECT_NE(help.out().find("Exit code"), std::string::npos);
}

}  // namespace
}  // namespace sdlm
