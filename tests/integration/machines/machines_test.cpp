// SPDX-License-Identifier: LGPL-2.1-or-later
// Two machines that share nothing but a disk: locks move between them; one stands still, one loses its power.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "machine.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/temp_dir.hpp"

namespace sdlm {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::uint64_t disk_bytes = 8 * 1024 * 1024;
constexpr unsigned increments = 10;

long ms_since(Clock::time_point begin) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count();
}

// hold LOCK TAG: takes EX, says granted-TAG; says told-TAG when the lock is void, released-TAG after `touch /tmp/TAG`.
// count N: adds 1 to the number in the first block of the data disk, N times, under the lock `counter`.
constexpr const char* functions =
    "hold() { (exec 3<>/dlm/d/$1 || { echo refused-$2; exit; }; echo granted-$2; "
    "while [ ! -e /tmp/$2 ]; do cat <&3 >/dev/null 2>&1 || { echo told-$2; exit; }; usleep 100000; done; "
    "exec 3>&-; echo released-$2) & }; "
    "number() { dd if=/dev/vdb bs=512 count=1 iflag=direct 2>/dev/null | tr -d '\\000 '; }; "
    "count() { for i in $(seq $1); do exec 4<>/dlm/d/counter; n=$(number); "
    "printf %512d $((n+1)) | dd of=/dev/vdb bs=512 oflag=direct conv=notrunc 2>/dev/null; exec 4>&-; done; }";

class Machines : public testing::Test {
protected:
    void SetUp() override {
        if (::access("/usr/bin/qemu-system-x86_64", X_OK) != 0)
            GTEST_SKIP() << "no qemu-system-x86_64; install qemu-system-x86";
        test::ChildProcess make({"bash", MAKE_INITRAMFS, GUEST_DIRECTORY, SDLMD_PROGRAM, SDLM_PROGRAM});
        const test::ExitStatus made = make.wait(300'000);
        if (made.code == 77) GTEST_SKIP() << make.out();
        ASSERT_EQ(made.code, 0) << make.out() << make.err();
        disk_ = dir_.make_file("disk.img", disk_bytes);
        const std::string data = dir_.make_file("data.img", 4096);
        // Emulated machines are slow: a long lease.
        test::ChildProcess mkfs({MKFS_PROGRAM, "-f", "-N", "4", "-J", "256K", "--lease-ms", "10000", "--heartbeat-ms",
                                 "500", disk_});
        ASSERT_EQ(mkfs.wait().code, 0) << mkfs.err();
        for (const char* name : {"a", "b"})
            machines_.push_back(std::make_unique<Machine>(MachineOptions{
                .guest = GUEST_DIRECTORY, .disks = {disk_, data}, .directory = dir_.path(), .name = name}));
        for (unsigned node = 0; node < 2; ++node) {
            machine(node).run(functions);
            begin(node);
        }
        for (unsigned node = 0; node < 2; ++node) live(node);
    }
    void TearDown() override {
        for (const auto& machine : machines_)
            if (HasFailure()) std::printf("----\n%s\n", machine->text().c_str());
    }
    Machine& machine(unsigned node) { return *machines_[node]; }
    void begin(unsigned node) {
        const std::string number = std::to_string(node);
        machine(node).run("sdlmd --device /dev/vda --node " + number + " --name m" + number +
                          " --run-dir /run/n --mount /dlm >/tmp/log 2>&1 &");
    }
    void live(unsigned node) {
        machine(node).run("i=0; until grep -q mounted /tmp/log || [ $i -gt 300 ]; do usleep 100000; i=$((i+1)); done; "
                          "grep -q mounted /tmp/log && mkdir /dlm/d || { cat /tmp/log; false; }");
    }
    nlohmann::json status(unsigned node) {
        return nlohmann::json::parse(machine(node).run("sdlm --run-dir /run/n status --json"));
    }
    std::vector<std::unique_ptr<Machine>> machines_;
    test::TempDir dir_;
    std::string disk_;
};

TEST_F(Machines, TwoShareADisk) {
    Machine &a = machine(0), &b = machine(1);
    const long bound = status(1).at("timing").at("failover_bound_ms").get<long>();

    // Both count at the same time, on the other disk that they share.
    a.run("(count " + std::to_string(increments) + "; echo counted-a) &");
    b.run("(count " + std::to_string(increments) + "; echo counted-b) &");
    ASSERT_TRUE(a.wait_for("counted-a") && b.wait_for("counted-b"));
    EXPECT_EQ(a.run("number"), std::to_string(2 * increments));
    EXPECT_EQ(b.run("number"), std::to_string(2 * increments));

    // One stands still for longer than the lease.
    a.run("hold lock a1");
    ASSERT_TRUE(a.wait_for("granted-a1"));
    b.run("hold lock b1");
    a.pause();
    Clock::time_point begin_of = Clock::now();
    ASSERT_TRUE(b.wait_for("granted-b1"));
    std::printf("one machine stopped: granted on the other after %ld ms, bound %ld ms\n", ms_since(begin_of), bound);
    EXPECT_LE(ms_since(begin_of), bound);
    EXPECT_EQ(status(1).at("counters").at("evictions"), 1);
    a.resume();
    begin_of = Clock::now();
    ASSERT_TRUE(a.wait_for("told-a1"));
    std::printf("the stopped one knew %ld ms after it went on\n", ms_since(begin_of));
    EXPECT_NE(a.run("grep LOST /tmp/log"), "");
    EXPECT_FALSE(b.says("told-b1"));

    // It comes back and waits its turn.
    a.run("p=$(cat /run/n/pid); kill $p; while [ -e /proc/$p ]; do usleep 50000; done; umount -l /dlm; true");
    begin(0);
    live(0);
    a.run("hold lock a2");
    b.run("touch /tmp/b1");
    ASSERT_TRUE(a.wait_for("granted-a2"));

    // It loses its power.
    b.run("hold lock b2");
    a.kill();
    begin_of = Clock::now();
    ASSERT_TRUE(b.wait_for("granted-b2"));
    std::printf("one machine killed: granted on the other after %ld ms, bound %ld ms\n", ms_since(begin_of), bound);
    EXPECT_LE(ms_since(begin_of), bound);
    EXPECT_FALSE(b.says("told-b2"));
}

}  // namespace
}  // namespace sdlm
