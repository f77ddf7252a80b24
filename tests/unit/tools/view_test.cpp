// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <sstream>

#include "fake_target.hpp"
#include "tools/common/daemon_launch.hpp"
#include "tools/control/status_json.hpp"
#include "tools/mount/mount_options.hpp"
#include "tools/sdlm/locks_view.hpp"
#include "tools/sdlm/status_view.hpp"

namespace sdlm::tools::test {
namespace {

using disk::Mode;
using disk::Phase;
using nlohmann::json;

node::LockRow waiting(NodeIndex node, std::string name, Mode held, Mode want, std::uint64_t ticket) {
    node::LockRow row = lock_row(node, "space", std::move(name), held);
    row.record.want = want;
    row.record.phase = Phase::waiting;
    row.record.ticket = ticket;
    return row;
}

json rows_of(const std::vector<node::LockRow>& rows) {
    json out = json::array();
    for (const auto& row : rows) out.push_back(to_json(row));
    add_waits(out);
    return out;
}

TEST(LocksView, TwoSharedHoldersThatBothUpgradeAreACycle) {
    const json rows = rows_of({waiting(0, "r", Mode::PR, Mode::EX, 5), waiting(1, "r", Mode::PR, Mode::EX, 6),
                               waiting(2, "r", Mode::NL, Mode::PR, 7)});
    EXPECT_TRUE(rows[0]["cycle"].get<bool>());
    EXPECT_TRUE(rows[1]["cycle"].get<bool>());
    EXPECT_FALSE(rows[2]["cycle"].get<bool>());
    EXPECT_EQ(rows[0]["waiters"], 3);
    std::ostringstream out;
    print_locks(out, rows);
    EXPECT_NE(out.str().find("cycle: node 0 holds PR and wants EX of space/r"), std::string::npos) << out.str();
    EXPECT_EQ(out.str().find("cycle: node 2"), std::string::npos) << out.str();
}

TEST(LocksView, APlainQueueIsNoCycle) {
    const json rows = rows_of({lock_row(0, "space", "q", Mode::EX), waiting(1, "q", Mode::NL, Mode::EX, 5),
                               waiting(2, "q", Mode::NL, Mode::EX, 6)});
    for (const json& row : rows) EXPECT_FALSE(row["cycle"].get<bool>());
}

TEST(LocksView, RowsOfDifferentResourcesDoNotMix) {
    const json rows = rows_of({waiting(0, "a", Mode::PR, Mode::EX, 5), waiting(1, "b", Mode::PR, Mode::EX, 6)});
    for (const json& row : rows) {
        EXPECT_FALSE(row["cycle"].get<bool>());
        EXPECT_EQ(row["waiters"], 1);
    }
}

TEST(LocksView, WaitersOutsideACycleAreNotMarked) {
    const json rows = rows_of({waiting(0, "r", Mode::NL, Mode::EX, 1), waiting(1, "r", Mode::PR, Mode::EX, 2),
                               waiting(2, "r", Mode::PR, Mode::EX, 3), waiting(3, "r", Mode::CR, Mode::PR, 4)});
    EXPECT_FALSE(rows[0]["cycle"].get<bool>()) << "it waits for the cycle, nobody waits for it";
    EXPECT_TRUE(rows[1]["cycle"].get<bool>());
    EXPECT_TRUE(rows[2]["cycle"].get<bool>());
    EXPECT_FALSE(rows[3]["cycle"].get<bool>()) << "others wait for it, it waits for nobody";
}

TEST(LocksView, NamesAndValuesAreShown) {
    node::LockRow row = lock_row(3, "dom", "a\tb", Mode::EX);
    row.own = true;
    row.used = Mode::EX;
    row.blocked = true;
    row.record.lvb.version = 9;
    row.record.lvb.length = 4;
    row.record.lvb.bytes[1] = std::byte{0xab};
    std::ostringstream out;
    print_locks(out, rows_of({row}));
    EXPECT_NE(out.str().find("a\\x09b"), std::string::npos) << out.str();
    EXPECT_NE(out.str().find("blocked"), std::string::npos) << out.str();
    EXPECT_NE(out.str().find("v9 00ab\n"), std::string::npos) << out.str();
    EXPECT_EQ(out.str().find('\t'), std::string::npos);
}

TEST(StatusView, StatesTheBoundAndTheProblems) {
    DaemonStatus status;
    status.timing = heartbeat::default_timing;
    status.node.state = node::NodeState::live;
    status.node.node = 1;
    node::PeerStatus peer;
    peer.node = 4;
    peer.problem = "bad checksum in field crc\x1b";
    json shown = to_json(status);
    shown["peers"] = json::array({to_json(peer)});
    shown["refs"] = {{"svc", 2}};
    std::ostringstream out;
    print_status(out, shown, Detail::verbose);
    const std::string bound = "within " + std::to_string(heartbeat::default_timing.failover_bound().ms()) + " ms";
    EXPECT_NE(out.str().find(bound), std::string::npos) << out.str();
    EXPECT_NE(out.str().find("slot 4: bad checksum in field crc\\x1b"), std::string::npos) << out.str();
    EXPECT_NE(out.str().find("svc"), std::string::npos);
    EXPECT_NE(out.str().find("slot_writes"), std::string::npos);
}

TEST(MountOptions, OwnAndGenericOnes) {
    MountOptions options;
    std::string message;
    EXPECT_TRUE(parse_mount_options("rw,_netdev,x-systemd.automount,,node=3,name=a b,run_dir=/r,allow_other,user",
                                    Unknown::refuse, options, message))
        << message;
    EXPECT_EQ(options.node, NodeIndex{3});
    EXPECT_EQ(options.name, "a b");
    EXPECT_EQ(options.run_dir, "/r");
    EXPECT_TRUE(options.allow_other);
}

TEST(MountOptions, WrongOnesAreNamed) {
    for (const char* bad : {"nodes=3", "node=", "node=x", "node=255", "node=1x", "name=", "run_dir=r", "ro", "node",
                            "rwx", "allow_other=1"}) {
        MountOptions options;
        std::string message;
        EXPECT_FALSE(parse_mount_options(bad, Unknown::refuse, options, message)) << bad;
        EXPECT_NE(message.find(std::string(bad).substr(0, 2)), std::string::npos) << bad << ": " << message;
    }
    MountOptions options;
    std::string message;
    EXPECT_TRUE(parse_mount_options("nodes=3", Unknown::ignore, options, message));
    EXPECT_FALSE(parse_mount_options("node=x", Unknown::ignore, options, message));
}

TEST(DaemonLaunch, CommandLine) {
    const LaunchRequest all{.device = "/dev/x", .run_dir = "/r", .node = NodeIndex{0}, .name = "-n", .mount = "/m",
                            .allow_other = true, .services = {"-a", "b"}, .client_policy = "kill"};
    const std::vector<std::string> expected{"sdlmd",    "--device=/dev/x", "--run-dir=/r",  "--node=0",   "--name=-n",
                                            "--mount=/m", "--allow-other",   "--client-policy=kill", "--service=-a",
                                            "--service=b"};
    EXPECT_EQ(daemon_command_line("sdlmd", all), expected);
    const LaunchRequest least{.device = "/dev/x", .run_dir = "/r", .node = {}, .name = {}, .mount = {},
                              .allow_other = false, .services = {}, .client_policy = {}};
    EXPECT_EQ(daemon_command_line("sdlmd", least).size(), 3U);
}

}  // namespace
}  // namespace sdlm::tools::test
