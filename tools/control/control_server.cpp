// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/control/control_server.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "disk/base/assert.hpp"
#include "tools/common/accept.hpp"
#include "tools/common/escape.hpp"
#include "tools/common/unique_fd.hpp"
#include "tools/common/unix_address.hpp"
#include "tools/control/request.hpp"
#include "tools/control/status_json.hpp"

namespace sdlm::tools {
namespace {

using nlohmann::json;

constexpr std::size_t peers_per_line = 32;
constexpr std::size_t rows_per_line = 32;
constexpr std::size_t refs_per_line = 16;
// More than the rows of one resource (one per slot), so that a full page always ends a resource somewhere.
constexpr std::size_t rows_per_page = 512;
static_assert(rows_per_page > 2 * limits::slots_max);

struct LockStream {
    std::optional<std::string> lockspace;
    std::optional<disk::ResourceKey> after;
    std::vector<node::LockRow> rows;       // fetched, not sent
    std::size_t sent = 0;
    bool last_page = false;
};

struct Client {
    UniqueFd fd;
    std::string in;
    std::string out;
    std::optional<LockStream> stream;
    std::uint64_t active = 0;              // order of last activity
    bool input_ended = false;
    bool close_when_sent = false;
};

std::string sentence(const char* what, const std::string& path, int error) {
    return std::string(what) + " " + path + ": " + std::strerror(error);
}

}  // namespace

struct ControlServer::Impl {
    disk::Reactor& reactor;
    ControlTarget& target;
    std::string path;
    UniqueFd listener;
    UniqueFd spare;                        // given up to accept and close a connection when descriptors have run out
    std::map<int, Client> clients;
    std::uint64_t activity = 0;

    Impl(disk::Reactor& r, ControlTarget& t) : reactor(r), target(t) {}

    void accept_some();
    void drop_most_silent();
    void drop(int fd);
    void ready(int fd, std::uint32_t revents);
    bool receive(Client& client);
    bool send_some(Client& client);
    void serve(Client& client);
    void put(Client& client, json line);
    void put_error(Client& client, const std::string& error);
    void answer(Client& client, Request& request);
    void answer_status(Client& client);
    void answer_refs(Client& client);
    void answer_problem(Client& client, const Problem& problem);
    void continue_stream(Client& client);
    void fetch_rows(LockStream& stream);
};

void ControlServer::Impl::accept_some() {
    constexpr int per_round = 8;
    for (int i = 0; i < per_round; ++i) {
        UniqueFd fd = accept_connection(listener.get(), spare);
        if (!fd) return;
        if (clients.size() == control_clients_max) drop_most_silent();
        const int number = fd.get();
        Client& client = clients[number];
        client.fd = std::move(fd);
        client.active = ++activity;
        reactor.watch(number, POLLIN, [this, number](std::uint32_t revents) { ready(number, revents); });
    }
}

void ControlServer::Impl::drop_most_silent() {
    const auto silent = std::min_element(clients.begin(), clients.end(), [](const auto& a, const auto& b) {
        return a.second.active < b.second.active;
    });
    drop(silent->first);
}

void ControlServer::Impl::drop(int fd) {
    reactor.unwatch(fd);
    clients.erase(fd);
}

void ControlServer::Impl::ready(int fd, std::uint32_t revents) {
    const auto found = clients.find(fd);
    if (found == clients.end()) return;
    Client& client = found->second;
    const bool readable = (revents & (POLLIN | POLLHUP | POLLERR)) != 0;
    if (readable && !client.input_ended && !client.close_when_sent && !receive(client)) return drop(fd);
    serve(client);
    if (!send_some(client)) return drop(fd);
    const bool sent = client.out.empty() && !client.stream;
    if (sent && client.close_when_sent) return drop(fd);
    const bool unserved = client.in.find('\n') != std::string::npos || (client.input_ended && !client.in.empty());
    if (sent && client.input_ended && !unserved) return drop(fd);
    reactor.change_watch(fd, sent && !unserved ? POLLIN : POLLOUT);
}

bool ControlServer::Impl::receive(Client& client) {
    std::array<char, 16 * 1024> chunk;
    const std::size_t room = std::min(chunk.size(), control_line_bytes_max - client.in.size());
    if (room == 0) return true;
    const ssize_t got = ::recv(client.fd.get(), chunk.data(), room, MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) client.input_ended = true;
    client.in.append(chunk.data(), static_cast<std::size_t>(got));
    client.active = ++activity;
    return true;
}

bool ControlServer::Impl::send_some(Client& client) {
    if (client.out.empty()) return true;
    const ssize_t sent = ::send(client.fd.get(), client.out.data(), client.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    client.out.erase(0, static_cast<std::size_t>(sent));
    client.active = ++activity;
    return true;
}

// At most one request or one page of rows per round: a client with much to ask does not keep the disk waiting.
void ControlServer::Impl::serve(Client& client) {
    if (!client.out.empty() || client.close_when_sent) return;
    if (client.stream) return continue_stream(client);
    const auto end = client.in.find('\n');
    if (end == std::string::npos) {
        if (client.in.size() >= control_line_bytes_max) {
            put_error(client, "the request line is longer than " + std::to_string(control_line_bytes_max) + " bytes");
            client.close_when_sent = true;
        } else if (client.input_ended && !client.in.empty()) {
            put_error(client, "the request line has no end");
            client.close_when_sent = true;
        }
        return;
    }
    Request request(std::string_view(client.in).substr(0, end));
    client.in.erase(0, end + 1);
    if (request.error().empty()) answer(client, request);
    else put_error(client, request.error());
    client.close_when_sent = client.close_when_sent || request.fatal();
}

void ControlServer::Impl::put(Client& client, json line) {
    line["v"] = control_version;
    if (!line.contains("ok")) line["ok"] = true;
    std::string text = line.dump(-1, ' ', false, json::error_handler_t::replace);
    if (text.size() >= control_line_bytes_max) {
        return put_error(client, "the answer does not fit into one line of the control protocol");
    }
    client.out += text;
    client.out += '\n';
}

void ControlServer::Impl::put_error(Client& client, const std::string& error) {
    constexpr std::size_t error_bytes_max = 4096;
    put(client, {{"ok", false}, {"error", error.substr(0, error_bytes_max)}});
}

void ControlServer::Impl::answer_problem(Client& client, const Problem& problem) {
    if (problem) put_error(client, *problem);
    else put(client, json::object());
}

void ControlServer::Impl::answer(Client& client, Request& request) {
    const std::string& cmd = request.cmd();
    const auto good = [&] {
        if (!request.error().empty()) put_error(client, request.error());
        return request.error().empty();
    };
    if (cmd == "status") {
        request.allow({});
        if (good()) answer_status(client);
    } else if (cmd == "locks") {
        request.allow({"lockspace"});
        LockStream stream;
        if (const auto name = request.optional_string("lockspace")) {
            stream.lockspace.emplace();
            if (!unescape(*name, *stream.lockspace)) request.refuse("lockspace: not an escaped name (see sdlm(1))");
        }
        if (good()) client.stream = std::move(stream);
        if (client.stream) continue_stream(client);
    } else if (cmd == "evict") {
        request.allow({"node"});
        const auto node = static_cast<NodeIndex>(request.number("node", limits::slots_max - 1));
        if (good()) answer_problem(client, target.evict(node));
    } else if (cmd == "fence") {
        request.allow({"node"});
        const auto node = static_cast<NodeIndex>(request.number("node", limits::slots_max - 1));
        if (good()) answer_problem(client, target.fence(node));
    } else if (cmd == "stop") {
        request.allow({"force"});
        const StopRequest stop{.force = request.flag("force")};
        if (good()) answer_problem(client, target.stop(stop));
    } else if (cmd == "refs") {
        request.allow({});
        if (good()) answer_refs(client);
    } else if (cmd == "ref_add" || cmd == "ref_remove") {
        request.allow({"name"});
        const std::string name = request.string("name");
        if (!good()) return;
        const Problem problem = cmd == "ref_add" ? target.add_reference(name) : target.remove_reference(name);
        if (problem) put_error(client, *problem);
        else put(client, {{"total", target.references().total()}});
    } else if (cmd == "mount") {
        request.allow({"dir", "allow_other", "client_policy"});
        const MountRequest mount{.directory = request.string("dir"),
                                 .allow_other = request.flag("allow_other"),
                                 .client_policy = request.optional_string("client_policy").value_or("")};
        if (mount.directory.find('/') != 0) request.refuse("dir must be an absolute path");
        if (good()) answer_problem(client, target.mount(mount));
    } else if (cmd == "umount") {
        request.allow({"dir"});
        const std::string directory = request.string("dir");
        if (good()) answer_problem(client, target.unmount(directory));
    } else if (cmd == "refresh") {
        request.allow({});
        if (good()) answer_problem(client, target.refresh_surfaces());
    } else {
        put_error(client, "unknown command \"" + escaped(cmd.substr(0, 64)) + "\"");
    }
}

void ControlServer::Impl::answer_status(Client& client) {
    const DaemonStatus status = target.status();
    const auto& peers = status.node.peers;
    put(client, {{"status", to_json(status)}, {"more", !peers.empty()}});
    for (std::size_t first = 0; first < peers.size(); first += peers_per_line) {
        const std::size_t end = std::min(peers.size(), first + peers_per_line);
        json part = json::array();
        for (std::size_t i = first; i < end; ++i) part.push_back(to_json(peers[i]));
        put(client, {{"peers", std::move(part)}, {"more", end < peers.size()}});
    }
}

void ControlServer::Impl::answer_refs(Client& client) {
    json part = json::object();
    std::size_t left = target.references().counts().size();
    for (const auto& [name, count] : target.references().counts()) {
        part[escaped(name)] = count;
        --left;
        if (part.size() == refs_per_line && left > 0) {
            put(client, {{"refs", std::exchange(part, json::object())}, {"more", true}});
        }
    }
    put(client, {{"refs", std::move(part)}});
}

void ControlServer::Impl::fetch_rows(LockStream& stream) {
    stream.sent = 0;
    stream.rows = target.lock_rows(stream.after, rows_per_page);
    stream.last_page = stream.rows.size() < rows_per_page;
    if (!stream.last_page) {
        // The last resource may go on behind this page: leave it to the next one.
        const disk::ResourceKey cut = stream.rows.back().key;
        while (!stream.rows.empty() && stream.rows.back().key == cut) stream.rows.pop_back();
        SDLM_ASSERT(!stream.rows.empty());
        stream.after = stream.rows.back().key;
    }
    if (stream.lockspace) {
        std::erase_if(stream.rows, [&](const node::LockRow& row) { return row.key.lockspace != *stream.lockspace; });
    }
}

void ControlServer::Impl::continue_stream(Client& client) {
    LockStream& stream = *client.stream;
    if (stream.sent == stream.rows.size() && !stream.last_page) fetch_rows(stream);
    json part = json::array();
    while (stream.sent < stream.rows.size() && part.size() < rows_per_line) {
        part.push_back(to_json(stream.rows[stream.sent++]));
    }
    const bool more = stream.sent < stream.rows.size() || !stream.last_page;
    if (!part.empty() || !more) put(client, {{"rows", std::move(part)}, {"more", more}});
    if (!more) client.stream.reset();
}

Result<std::unique_ptr<ControlServer>> ControlServer::open(disk::Reactor& reactor, const std::string& path,
                                                           ControlTarget& target, std::string& message) {
    const auto failed = [&](const char* what, int error) {
        message = sentence(what, path, error);
        return Error{.code = Errc::io, .os_errno = error, .field = "control socket"};
    };
    struct stat old {};
    if (::lstat(path.c_str(), &old) == 0) {
        if (!S_ISSOCK(old.st_mode)) return failed("cannot replace what is not a socket, remove it first:", EEXIST);
        if (::unlink(path.c_str()) != 0) return failed("cannot remove the old control socket", errno);
    } else if (errno != ENOENT) {
        return failed("cannot look at the control socket", errno);
    }
    auto address = unix_address(path);
    if (!address) return failed("cannot reach the directory of the control socket", address.error().os_errno);
    auto impl = std::make_unique<Impl>(reactor, target);
    impl->path = path;
    impl->listener = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    impl->spare = spare_descriptor();
    if (!impl->listener) return failed("cannot make the control socket", errno);
    // The mode must be right from the first moment, so the mask, not a chmod afterwards.
    const mode_t mask = ::umask(0177);
    const int bound = ::bind(impl->listener.get(), generic(*address), address->bytes);
    const int bind_error = errno;
    ::umask(mask);
    if (bound != 0) return failed("cannot make the control socket", bind_error);
    if (::listen(impl->listener.get(), static_cast<int>(control_clients_max)) != 0) {
        return failed("cannot listen on the control socket", errno);
    }
    Impl& server = *impl;
    reactor.watch(server.listener.get(), POLLIN, [&server](std::uint32_t) { server.accept_some(); });
    return std::unique_ptr<ControlServer>(new ControlServer(std::move(impl)));
}

ControlServer::ControlServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ControlServer::~ControlServer() {
    ::unlink(impl_->path.c_str());
    while (!impl_->clients.empty()) impl_->drop(impl_->clients.begin()->first);
    impl_->reactor.unwatch(impl_->listener.get());
}

}  // namespace sdlm::tools
