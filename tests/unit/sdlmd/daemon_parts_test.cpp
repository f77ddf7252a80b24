// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "tests/support/temp_dir.hpp"
#include "tools/sdlmd/host_identity.hpp"
#include "tools/common/log.hpp"
#include "tools/sdlmd/run_files.hpp"
#include "tools/sdlmd/service_notifier.hpp"

namespace sdlm::tools {
namespace {

TEST(LogLine, OneEventIsOneLine) {
    EXPECT_EQ(log_line(LogLevel::error, "a\nb\x01", false), "sdlmd: error: a?b?");
    EXPECT_EQ(log_line(LogLevel::warning, "w", true), "<4>w");
    EXPECT_EQ(log_line(LogLevel::info, "\xc3\xa4", false), "sdlmd: \xc3\xa4");
}

// The receiving end of sd_notify.
class NotifySocket {
public:
    explicit NotifySocket(const std::string& name)
        : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, name.data(), name.size());
        if (name[0] == '@') address.sun_path[0] = '\0';
        const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
        bound_ = ::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0;
        ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    }
    ~NotifySocket() {
        ::unsetenv("NOTIFY_SOCKET");
        ::unsetenv("WATCHDOG_USEC");
        ::unsetenv("WATCHDOG_PID");
    }
    bool bound() const { return bound_; }
    std::string receive() const {      // empty: nothing there
        char text[200];
        const ssize_t n = ::recv(fd_.get(), text, sizeof text, 0);
        return n < 0 ? "" : std::string(text, static_cast<std::size_t>(n));
    }

private:
    UniqueFd fd_;
    bool bound_ = false;
};

TEST(ServiceNotifier, FileAndAbstractSockets) {
    const test::TempDir dir;
    for (const std::string& name : {dir.file("notify"), "@sdlm-test-" + std::to_string(::getpid())}) {
        const NotifySocket socket(name);
        ASSERT_TRUE(socket.bound()) << name;
        ServiceNotifier notifier;
        notifier.send("READY=1\nSTATUS=live");
        EXPECT_EQ(socket.receive(), "READY=1\nSTATUS=live") << name;
        EXPECT_EQ(notifier.keep_alive(Instant{5}), never);
        EXPECT_EQ(socket.receive(), "");
    }
}

TEST(ServiceNotifier, WatchdogAtHalfTime) {
    const test::TempDir dir;
    const NotifySocket socket(dir.file("notify"));
    ::setenv("WATCHDOG_USEC", "2000000", 1);
    ServiceNotifier notifier;
    const Instant start{1'000'000'000'000};
    EXPECT_EQ(notifier.keep_alive(start), start + milliseconds(1000));
    EXPECT_EQ(socket.receive(), "WATCHDOG=1");
    EXPECT_EQ(notifier.keep_alive(start + milliseconds(999)), start + milliseconds(1000));
    EXPECT_EQ(socket.receive(), "");
    EXPECT_EQ(notifier.keep_alive(start + milliseconds(1500)), start + milliseconds(2500));
    EXPECT_EQ(socket.receive(), "WATCHDOG=1");
    ::setenv("WATCHDOG_PID", "1", 1);      // meant for another process
    EXPECT_EQ(ServiceNotifier().keep_alive(start), never);
}

TEST(ServiceNotifier, NoSocketIsNoError) {
    ::unsetenv("NOTIFY_SOCKET");
    ServiceNotifier().send("READY=1");
    ::setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
    ServiceNotifier().send("READY=1");
    ::setenv("NOTIFY_SOCKET", std::string(300, 'x').c_str(), 1);
    ServiceNotifier().send("READY=1");
    ::unsetenv("NOTIFY_SOCKET");
}

TEST(RunFiles, OneDaemonPerDirectory) {
    const test::TempDir dir;
    const std::string path = dir.file("deep/run");
    std::string message;
    {
        auto files = RunFiles::claim(path, message);
        ASSERT_TRUE(files) << message;
        ASSERT_TRUE(files->set("pid", "4711"));
        ASSERT_TRUE(files->set("state", "joining"));
        ASSERT_TRUE(files->set("state", "live"));
        EXPECT_EQ(test::read_file(path + "/state"), "live\n");
        const auto second = RunFiles::claim(path, message);
        ASSERT_FALSE(second);
        EXPECT_EQ(second.error().code, Errc::busy);
        EXPECT_NE(message.find("4711"), std::string::npos) << message;
        EXPECT_NE(message.find("--run-dir"), std::string::npos) << message;
        EXPECT_EQ(test::read_file(path + "/pid"), "4711\n");      // the second one has touched nothing
    }
    EXPECT_EQ(test::read_file(path + "/pid"), "");
    EXPECT_EQ(test::read_file(path + "/state"), "");
    {
        auto next = RunFiles::claim(path, message);
        ASSERT_TRUE(next) << message;
        ASSERT_TRUE(next->set("state", "lost"));
        next->keep_state();
    }
    EXPECT_EQ(test::read_file(path + "/state"), "lost\n");
    EXPECT_TRUE(RunFiles::claim(path, message));
    EXPECT_EQ(test::read_file(path + "/state"), "");
}

TEST(RunFiles, WhatCannotBeADirectory) {
    const test::TempDir dir;
    test::write_file(dir.file("file"), "x");
    std::string message;
    ASSERT_FALSE(RunFiles::claim(dir.file("file"), message));
    EXPECT_NE(message.find(dir.file("file")), std::string::npos) << message;
}

TEST(HostId, MachineFirmwareBoot) {
    const test::TempDir dir;
    HostFiles files{dir.file("machine-id"), dir.file("product_uuid"), dir.file("boot_id")};
    test::write_file(files.boot_id, "6b7cf6a0-0000-4000-8000-000000000001\n");
    const HostId by_boot = read_host_id(files);
    EXPECT_NE(by_boot.warning, "");
    EXPECT_FALSE(by_boot.uuid.none());

    test::write_file(files.product_uuid, "4c4c4544-0044-4c10-8056-c4c04f4a4d32\n");
    const HostId by_firmware = read_host_id(files);
    EXPECT_EQ(by_firmware.warning, "");
    EXPECT_NE(by_firmware.uuid, by_boot.uuid);

    test::write_file(files.machine_id, "0123456789abcdef0123456789abcdef\n");
    const HostId by_machine = read_host_id(files);
    EXPECT_NE(by_machine.uuid, by_firmware.uuid);
    EXPECT_EQ(by_machine.boot, by_boot.boot);
    EXPECT_EQ(to_string(by_machine.uuid).find("01234567"), std::string::npos);      // not shown to other hosts

    test::write_file(files.boot_id, "6b7cf6a0-0000-4000-8000-000000000002\n");
    const HostId rebooted = read_host_id(files);
    EXPECT_EQ(rebooted.uuid, by_machine.uuid);
    EXPECT_NE(rebooted.boot, by_machine.boot);

    test::write_file(files.machine_id, "uninitialized\n");
    EXPECT_EQ(read_host_id(files).uuid, by_firmware.uuid);
    test::write_file(files.product_uuid, "00000000-0000-0000-0000-000000000000\n");
    EXPECT_EQ(read_host_id(files).uuid, read_host_id({"/nonexistent", "/nonexistent", files.boot_id}).uuid);
}

TEST(HostId, SeedsDiffer) { EXPECT_NE(random_seed(), random_seed()); }

}  // namespace
}  // namespace sdlm::tools
