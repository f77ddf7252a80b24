// SPDX-License-Identifier: LGPL-2.1-or-later
// Real daemons, each with its own faulty view of one disk: directly on the faulty file, or on a loop device over it.
// View::plain is the image itself, without faults.
#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lock_user.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/fault_disk.hpp"
#include "tests/support/loop_device.hpp"
#include "tests/support/temp_dir.hpp"

namespace sdlm {

enum class View { plain, file, loop };

// The volume of these tests. Slot n lies at slots_at + n * block, see disk/FORMAT.md.
inline constexpr unsigned lease_ms = 4000, heartbeat_ms = 200;
inline constexpr std::uint64_t slots_at = 65536, block = 512, page = 4096, area_bytes = 256 * 1024;
inline constexpr unsigned slot_count = 4;
inline constexpr std::uint64_t image_bytes = 4 * 1024 * 1024;

inline constexpr std::uint64_t slot_at(unsigned node) { return slots_at + node * block; }
inline constexpr std::uint64_t area_at(unsigned node) {
    return slots_at + (slot_count * block + page - 1) / page * page + node * area_bytes;
}
// "at=OFFSET bytes=LENGTH" of a rule.
std::string in_slot(unsigned node);
std::string in_area(unsigned node);
std::string in_slots();      // all of them: a node reads them at once

class TroubledNodes : public testing::TestWithParam<View> {
protected:
    void SetUp() override;
    void TearDown() override;
    void format(const std::string& image);           // as the volume of these tests
    void start(unsigned node);                       // live and mounted when it returns, with the domain `d`
    // A daemon that need not become live; then the rest of start().
    test::ChildProcess& launch(unsigned node);
    void become_live(unsigned node);
    void stop(unsigned node);                        // clean leave
    void kill(unsigned node);                        // SIGKILL; its mount is taken away

    test::FaultDisk& disk(unsigned node) { return *nodes_[node].disk; }
    test::ChildProcess& daemon(unsigned node) { return *nodes_[node].daemon; }
    std::string file(unsigned node, const std::string& name) const { return mount(node) + "/d/" + name; }
    nlohmann::json status(unsigned node);
    std::uint64_t counter(unsigned node, const std::string& name);
    bool wait_counter(unsigned node, const std::string& name, std::uint64_t at_least = 1);
    bool wait_hung(unsigned node);                   // that a request hangs
    bool wait_lost(unsigned node) { return daemon(node).wait_for_stderr("LEASE LOST", 60'000); }
    bool lost(unsigned node);
    unsigned bound_ms(unsigned node) { return status(node).at("timing").at("failover_bound_ms").get<unsigned>(); }
    // Takes a new lock and gives it back.
    bool works(unsigned node);
    void pass_ms(unsigned ms);                       // of a fault: its length, not a wait for anything

    unsigned lease_ms_ = lease_ms, heartbeat_ms_ = heartbeat_ms;      // of the volume that SetUp makes
    test::TempDir dir_;
    std::string backing_;

private:
    struct Node {
        std::unique_ptr<test::FaultDisk> disk;
        std::unique_ptr<test::LoopDevice> loop;
        std::unique_ptr<test::ChildProcess> daemon;
    };
    std::string mount(unsigned node) const { return dir_.file("mnt-" + std::to_string(node)); }
    std::string run_dir(unsigned node) const { return dir_.file("run-" + std::to_string(node)); }
    void open_view(unsigned node);
    void read_logs();                                // or a daemon that says much would wait for us

    std::vector<Node> nodes_;
    unsigned names_ = 0;
};

std::string view_name(const testing::TestParamInfo<View>& info);

}  // namespace sdlm
