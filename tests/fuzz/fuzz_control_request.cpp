// SPDX-License-Identifier: LGPL-2.1-or-later
// Bytes on the daemon's control socket, in pieces: a byte 0 ends a piece and is not sent. Whatever comes, each reply is
// one line of JSON, no call reaches the daemon twice for one line, and the server comes to rest.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "tests/fuzz/fuzz_block.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/tools/fake_target.hpp"
#include "tests/unit/tools/poll_reactor.hpp"
#include "tools/common/unix_address.hpp"
#include "tools/control/control_server.hpp"

using namespace sdlm;

namespace {

constexpr int rounds_max = 100'000;      // far more than any input needs: more is a server that spins

class Daemon {
public:
    Daemon() {
        target.rows = {tools::test::lock_row(0, "a", "x", disk::Mode::EX),
                       tools::test::lock_row(1, "b\\", std::string("\0\n", 2), disk::Mode::PR)};
        std::string message;
        auto opened = tools::ControlServer::open(reactor, path, target, message);
        SDLM_ASSERT(opened);
        server = std::move(*opened);
    }
    void rest() {
        for (int rounds = 0; reactor.round(0); ++rounds) SDLM_ASSERT(rounds < rounds_max);
    }

    test::TempDir directory;
    std::string path = directory.file("s");
    tools::test::PollReactor reactor;
    tools::test::FakeTarget target;
    std::unique_ptr<tools::ControlServer> server;
};

// Appends what has come; false when the server has hung up.
bool receive(Daemon& daemon, int fd, std::string& out) {
    for (;;) {
        std::array<char, 8192> chunk;
        const ssize_t got = ::recv(fd, chunk.data(), chunk.size(), 0);
        if (got > 0) out.append(chunk.data(), static_cast<std::size_t>(got));
        else if (got == 0 || errno != EAGAIN) return false;
        else if (!daemon.reactor.round(0)) return true;
    }
}

void send_piece(Daemon& daemon, int fd, std::string_view piece, std::string& replies) {
    while (!piece.empty()) {
        const ssize_t sent = ::send(fd, piece.data(), piece.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) break;
        if (sent > 0) piece.remove_prefix(static_cast<std::size_t>(sent));
        if (!receive(daemon, fd, replies)) break;
    }
    daemon.rest();
}

void check_replies(std::string_view replies) {
    while (!replies.empty()) {
        const auto end = replies.find('\n');
        SDLM_ASSERT(end != std::string_view::npos);
        const auto reply = nlohmann::json::parse(replies.substr(0, end), nullptr, false);
        SDLM_ASSERT(reply.is_object());
        replies.remove_prefix(end + 1);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Daemon daemon;
    daemon.target.calls.clear();
    daemon.target.refs = {};
    auto address = tools::unix_address(daemon.path);
    SDLM_ASSERT(address);
    const tools::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    SDLM_ASSERT(::connect(fd.get(), tools::generic(*address), address->bytes) == 0);
    std::string replies;
    const std::string text(reinterpret_cast<const char*>(data), size);
    for (std::string_view left = text; !left.empty();) {
        const auto end = left.find('\0');
        send_piece(daemon, fd.get(), left.substr(0, end), replies);
        left = end == std::string_view::npos ? std::string_view() : left.substr(end + 1);
    }
    ::shutdown(fd.get(), SHUT_WR);
    while (receive(daemon, fd.get(), replies)) daemon.rest();
    check_replies(replies);
    const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    SDLM_ASSERT(daemon.target.calls.size() <= lines);
    SDLM_ASSERT(daemon.reactor.watch_count() == 1);
    return 0;
}
