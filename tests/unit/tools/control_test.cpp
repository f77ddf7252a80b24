// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <thread>

#include <nlohmann/json.hpp>

#include "fake_target.hpp"
#include "poll_reactor.hpp"
#include "tools/common/unix_address.hpp"
#include "tools/control/control_client.hpp"
#include "tools/control/control_server.hpp"

namespace sdlm::tools::test {
namespace {

using nlohmann::json;

class ControlTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern = (std::filesystem::temp_directory_path() / "sdlm-control-XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        directory = pattern;
        start();
    }
    void TearDown() override {
        server.reset();
        std::filesystem::remove_all(directory);
    }
    void start() {
        std::string message;
        auto opened = ControlServer::open(reactor, directory + "/control.sock", target, message);
        ASSERT_TRUE(opened) << message;
        server = std::move(*opened);
    }
    UniqueFd connect_raw() {
        auto address = unix_address(directory + "/control.sock");
        EXPECT_TRUE(address.has_value());
        UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        EXPECT_EQ(::connect(fd.get(), generic(*address), address->bytes), 0) << errno;
        return fd;
    }
    void rounds() {
        while (reactor.round(0)) {
            if (++round_count > 100'000) FAIL() << "the server never comes to rest";
        }
    }
    void send(const UniqueFd& fd, std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN) return;
            if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
            reactor.round(0);
        }
        rounds();
    }
    // All lines that are there now; `closed` tells whether the server has hung up behind them.
    std::vector<json> receive(const UniqueFd& fd) {
        std::string text;
        closed = false;
        for (;;) {
            std::array<char, 4096> chunk;
            const ssize_t got = ::recv(fd.get(), chunk.data(), chunk.size(), 0);
            if (got < 0 && errno == EAGAIN && reactor.round(0)) continue;
            if (got <= 0) {
                closed = got == 0 || errno != EAGAIN;
                break;
            }
            text.append(chunk.data(), static_cast<std::size_t>(got));
        }
        std::vector<json> lines;
        std::size_t at = 0;
        for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n', at)) {
            EXPECT_LT(end - at, control_line_bytes_max);
            lines.push_back(json::parse(text.substr(at, end - at)));
            at = end + 1;
        }
        EXPECT_EQ(at, text.size());
        return lines;
    }
    json ask(std::string_view request) {
        const UniqueFd fd = connect_raw();
        send(fd, request);
        const auto lines = receive(fd);
        return lines.size() == 1 ? lines[0] : json(lines);
    }

    PollReactor reactor;
    FakeTarget target;
    std::string directory;
    std::unique_ptr<ControlServer> server;
    bool closed = false;
    int round_count = 0;
};

TEST_F(ControlTest, SocketIsPrivateAndGoesAway) {
    struct stat st {};
    ASSERT_EQ(::stat((directory + "/control.sock").c_str(), &st), 0);
    EXPECT_TRUE(S_ISSOCK(st.st_mode));
    EXPECT_EQ(st.st_mode & 07777U, 0600U);
    server.reset();
    EXPECT_EQ(reactor.watch_count(), 0U);
    EXPECT_NE(::stat((directory + "/control.sock").c_str(), &st), 0);
}

TEST_F(ControlTest, ReplacesAStaleSocketButNothingElse) {
    {
        auto address = unix_address(directory + "/stale.sock");
        const UniqueFd old(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        ASSERT_EQ(::bind(old.get(), generic(*address), address->bytes), 0);
    }
    std::string message;
    EXPECT_TRUE(ControlServer::open(reactor, directory + "/stale.sock", target, message)) << message;
    std::ofstream(directory + "/file") << "precious";
    EXPECT_FALSE(ControlServer::open(reactor, directory + "/file", target, message));
    EXPECT_NE(message.find("/file"), std::string::npos) << message;
    EXPECT_TRUE(std::filesystem::exists(directory + "/file"));
}

TEST_F(ControlTest, PathsLongerThanASocketAddress) {
    const std::string deep = directory + "/" + std::string(120, 'd');
    std::filesystem::create_directory(deep);
    std::string message;
    auto second = ControlServer::open(reactor, deep + "/control.sock", target, message);
    ASSERT_TRUE(second) << message;
    EXPECT_TRUE(std::filesystem::is_socket(deep + "/control.sock"));
    EXPECT_TRUE(ControlClient::connect(deep, message)) << message;
}

TEST_F(ControlTest, CommandsReachTheTarget) {
    EXPECT_TRUE(ask("{\"v\":1,\"cmd\":\"fence\",\"node\":3}\n")["ok"].get<bool>());
    EXPECT_TRUE(ask("{\"v\":1,\"cmd\":\"stop\"}\n")["ok"].get<bool>());
    EXPECT_TRUE(ask("{\"v\":1,\"cmd\":\"stop\",\"force\":true}\n")["ok"].get<bool>());
    EXPECT_TRUE(ask("{\"v\":1,\"cmd\":\"mount\",\"dir\":\"/mnt\",\"allow_other\":true}\n")["ok"].get<bool>());
    EXPECT_TRUE(ask("{\"v\":1,\"cmd\":\"umount\",\"dir\":\"/mnt\"}\n")["ok"].get<bool>());
    EXPECT_EQ(ask("{\"v\":1,\"cmd\":\"ref_add\",\"name\":\"svc\"}\n")["total"], 1);
    EXPECT_EQ(ask("{\"v\":1,\"cmd\":\"ref_add\",\"name\":\"svc\"}\n")["total"], 2);
    EXPECT_EQ(ask("{\"v\":1,\"cmd\":\"refs\"}\n")["refs"], json({{"svc", 2}}));
    EXPECT_EQ(ask("{\"v\":1,\"cmd\":\"ref_remove\",\"name\":\"svc\"}\n")["total"], 1);
    const std::vector<std::string> expected{"fence 3", "stop",    "stop!",   "mount /mnt allow_other", "umount /mnt",
                                            "add svc", "add svc", "remove svc"};
    EXPECT_EQ(target.calls, expected);
    target.next_problem = "no such node";
    const json refused = ask("{\"v\":1,\"cmd\":\"fence\",\"node\":4}\n");
    EXPECT_FALSE(refused["ok"].get<bool>());
    EXPECT_EQ(refused["error"], "no such node");
}

TEST_F(ControlTest, BadRequestsAreNamedAndChangeNothing) {
    const std::vector<std::pair<std::string, std::string>> cases{
        {"hello", "JSON object"},
        {"[1,2]", "JSON object"},
        {std::string(20'000, '['), "JSON object"},
        {std::string("\0\xff\xfe", 3), "JSON object"},
        {"{}", "protocol version"},
        {"{\"v\":2,\"cmd\":\"stop\"}", "version 2"},
        {"{\"v\":1}", "no command"},
        {"{\"v\":1,\"cmd\":7}", "no command"},
        {"{\"v\":1,\"cmd\":\"explode\\n\"}", "unknown command \"explode\\x0a\""},
        {"{\"v\":1,\"cmd\":\"stop\",\"farce\":true}", "farce"},
        {"{\"v\":1,\"cmd\":\"stop\",\"force\":1}", "force"},
        {"{\"v\":1,\"cmd\":\"fence\"}", "node"},
        {"{\"v\":1,\"cmd\":\"fence\",\"node\":-1}", "node"},
        {"{\"v\":1,\"cmd\":\"fence\",\"node\":255}", "node"},
        {"{\"v\":1,\"cmd\":\"fence\",\"node\":1.5}", "node"},
        {"{\"v\":1,\"cmd\":\"mount\",\"dir\":\"mnt\"}", "absolute"},
        {"{\"v\":1,\"cmd\":\"ref_add\",\"name\":\"\"}", "reference name"},
        {"{\"v\":1,\"cmd\":\"ref_remove\",\"name\":\"nobody\"}", "not found"},
        {"{\"v\":1,\"cmd\":\"locks\",\"lockspace\":\"\\\\q\"}", "lockspace"},
    };
    for (const auto& [request, word] : cases) {
        const json reply = ask(request + "\n");
        ASSERT_TRUE(reply.is_object()) << request;
        EXPECT_FALSE(reply["ok"].get<bool>()) << request;
        EXPECT_NE(reply["error"].get<std::string>().find(word), std::string::npos) << request << " -> " << reply;
    }
    EXPECT_TRUE(target.calls.empty());
}

TEST_F(ControlTest, EndlessLineIsRefused) {
    const UniqueFd fd = connect_raw();
    send(fd, std::string(control_line_bytes_max + 10, 'x'));
    const auto lines = receive(fd);
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_NE(lines[0]["error"].get<std::string>().find("longer than"), std::string::npos);
    EXPECT_TRUE(closed);
    EXPECT_TRUE(ask("{\"v\":1,\"cmd\":\"stop\"}\n")["ok"].get<bool>());
}

TEST_F(ControlTest, HalfARequestThenHangUp) {
    const UniqueFd fd = connect_raw();
    send(fd, "{\"v\":1,\"cmd\":\"stop\"}");
    EXPECT_TRUE(receive(fd).empty());
    ::shutdown(fd.get(), SHUT_WR);
    rounds();
    const auto lines = receive(fd);
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_FALSE(lines[0]["ok"].get<bool>());
    EXPECT_TRUE(target.calls.empty());
    EXPECT_EQ(reactor.watch_count(), 1U);
}

TEST_F(ControlTest, ManyRequestsInOnePacketAreAllAnswered) {
    const UniqueFd fd = connect_raw();
    std::string requests;
    for (int i = 0; i < 50; ++i) requests += "{\"v\":1,\"cmd\":\"fence\",\"node\":" + std::to_string(i) + "}\n";
    send(fd, requests);
    EXPECT_EQ(receive(fd).size(), 50U);
    ::shutdown(fd.get(), SHUT_WR);
    rounds();
    EXPECT_EQ(target.calls.size(), 50U);
    EXPECT_EQ(target.calls.back(), "fence 49");
    EXPECT_EQ(reactor.watch_count(), 1U);
}

TEST_F(ControlTest, SilentClientsMakeRoom) {
    std::vector<UniqueFd> silent;
    for (std::size_t i = 0; i < control_clients_max + 5; ++i) {
        silent.push_back(connect_raw());
        rounds();
    }
    EXPECT_EQ(reactor.watch_count(), control_clients_max + 1);
    EXPECT_TRUE(ask("{\"v\":1,\"cmd\":\"stop\"}\n")["ok"].get<bool>());
    receive(silent.front());
    EXPECT_TRUE(closed);
    receive(silent.back());
    EXPECT_FALSE(closed);
}

TEST_F(ControlTest, SlowReaderOfALongTableIsServedPageByPage) {
    constexpr NodeIndex nodes = 5;
    constexpr std::size_t resources = 2000;
    for (std::size_t i = 0; i < resources; ++i) {
        std::string name = std::to_string(10'000 + i) + std::string(40, '\n');
        for (NodeIndex n = 0; n < nodes; ++n) target.rows.push_back(lock_row(n, "space", name, disk::Mode::CR));
    }
    const UniqueFd slow = connect_raw();
    send(slow, "{\"v\":1,\"cmd\":\"locks\"}\n");
    EXPECT_LT(target.row_pages, 8U);
    EXPECT_TRUE(ask("{\"v\":1,\"cmd\":\"stop\"}\n")["ok"].get<bool>());
    const auto lines = receive(slow);
    std::size_t count = 0;
    std::string last;
    for (const json& line : lines) {
        for (const json& row : line["rows"]) {
            const std::string key = row["name"].get<std::string>() + std::to_string(row["node"].get<int>());
            EXPECT_LT(last, key);
            last = key;
            ++count;
        }
    }
    EXPECT_EQ(count, resources * nodes);
    EXPECT_FALSE(lines.back()["more"].get<bool>());
}

TEST_F(ControlTest, LocksOfOneLockspace) {
    for (const char* space : {"a", "b\\x\x01", "c"}) target.rows.push_back(lock_row(1, space, "r", disk::Mode::EX));
    const json reply = ask("{\"v\":1,\"cmd\":\"locks\",\"lockspace\":\"b\\\\\\\\x\\\\x01\"}\n");
    ASSERT_EQ(reply["rows"].size(), 1U);
    EXPECT_EQ(reply["rows"][0]["lockspace"], "b\\\\x\\x01");
    EXPECT_EQ(reply["rows"][0]["held"], "EX");
}

// The client blocks, so the server gets a thread; the reactor and the target are touched by it alone meanwhile.
class ControlClientTest : public ControlTest {
protected:
    template <class Work>
    void serving(Work work) {
        std::atomic<bool> stop{false};
        std::thread thread([&] {
            while (!stop) reactor.round(10);
        });
        work();
        stop = true;
        thread.join();
    }
    ControlClient connect() {
        std::string message;
        auto client = ControlClient::connect(directory, message);
        EXPECT_TRUE(client) << message;
        return std::move(*client);
    }
};

TEST_F(ControlClientTest, StatusOfManyPeersComesTogether) {
    target.state.node.state = node::NodeState::live;
    target.state.node.node = 7;
    target.state.node_name = "node\nseven";
    target.state.timing = heartbeat::default_timing;
    for (NodeIndex n = 0; n < limits::slots_max; ++n) {
        node::PeerStatus peer;
        peer.node = n;
        peer.problem = std::string(200, '"');
        target.state.node.peers.push_back(peer);
    }
    serving([&] {
        ControlClient client = connect();
        EXPECT_EQ(client.pid(), ::getpid());
        std::string message;
        const auto reply = client.call("status", {}, message);
        ASSERT_TRUE(reply) << message;
        EXPECT_EQ((*reply)["peers"].size(), limits::slots_max);
        EXPECT_EQ((*reply)["peers"][254]["node"], 254);
        EXPECT_EQ((*reply)["status"]["state"], "live");
        EXPECT_EQ((*reply)["status"]["node"], 7);
        EXPECT_EQ((*reply)["status"]["name"], "node\\x0aseven");
        EXPECT_EQ((*reply)["status"]["timing"]["failover_bound_ms"], heartbeat::default_timing.failover_bound().ms());
        EXPECT_FALSE(reply->contains("more"));
    });
}

TEST_F(ControlClientTest, RefusalBringsTheSentence) {
    target.next_problem = "node 3 is not live";
    serving([&] {
        ControlClient client = connect();
        std::string message;
        EXPECT_FALSE(client.call("fence", {{"node", 3}}, message));
        EXPECT_EQ(message, "node 3 is not live");
        EXPECT_TRUE(client.call("fence", {{"node", 3}}, message)) << "the connection must have stayed usable";
    });
}

TEST_F(ControlClientTest, ManyReferencesInSeveralLines) {
    for (std::size_t i = 0; i < reference_names_max; ++i) {
        ASSERT_TRUE(target.refs.add(std::string(reference_name_max - 4, '"') + std::to_string(1000 + i)));
    }
    EXPECT_EQ(target.refs.add("one more").error().code, Errc::no_space);
    serving([&] {
        ControlClient client = connect();
        std::string message;
        const auto reply = client.call("refs", {}, message);
        ASSERT_TRUE(reply) << message;
        EXPECT_EQ((*reply)["refs"].size(), reference_names_max);
    });
}

TEST_F(ControlClientTest, NobodyThere) {
    server.reset();
    std::string message;
    EXPECT_EQ(ControlClient::connect(directory, message).error().code, Errc::not_found);
    EXPECT_NE(message.find("does not exist"), std::string::npos) << message;
    {
        auto address = unix_address(directory + "/control.sock");
        const UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        ASSERT_EQ(::bind(dead.get(), generic(*address), address->bytes), 0);
    }
    EXPECT_EQ(ControlClient::connect(directory, message).error().code, Errc::not_found);
    EXPECT_NE(message.find("is gone"), std::string::npos) << message;
    EXPECT_EQ(ControlClient::connect(directory + "/nowhere", message).error().code, Errc::not_found);
}

TEST_F(ControlClientTest, WaitsForTheEndOfTheProcessNotOfTheSocket) {
    server.reset();
    const pid_t daemon = ::fork();
    ASSERT_GE(daemon, 0);
    if (daemon == 0) {
        start();
        while (target.calls.empty()) reactor.round(-1);
        server.reset();
        for (;;) ::pause();
    }
    std::string message;
    auto client = ControlClient::connect(directory, message);
    while (!client) client = ControlClient::connect(directory, message);
    EXPECT_EQ(client->pid(), daemon);
    ASSERT_TRUE(client->call("stop", {}, message)) << message;
    EXPECT_EQ(client->wait_exit(milliseconds(200), message).error().code, Errc::timeout);
    ASSERT_EQ(::kill(daemon, SIGKILL), 0);
    EXPECT_TRUE(client->wait_exit(milliseconds(60'000), message)) << message;
    EXPECT_EQ(::waitpid(daemon, nullptr, 0), daemon);
}

TEST_F(ControlClientTest, HungDaemonTimesOut) {
    std::string message;
    auto client = ControlClient::connect(directory, message, milliseconds(20));
    ASSERT_TRUE(client) << message;
    EXPECT_EQ(client->call("status", {}, message).error().code, Errc::timeout);
    EXPECT_NE(message.find("did not answer"), std::string::npos) << message;
}

}  // namespace
}  // namespace sdlm::tools::test
