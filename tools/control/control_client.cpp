// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/control/control_client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "tools/common/process_fd.hpp"
#include "tools/common/unix_address.hpp"
#include "tools/control/control_server.hpp"

namespace sdlm::tools {

using nlohmann::json;

namespace {

Error no_answer(const std::string& run_dir, int error, std::string& message) {
    const std::string socket = run_dir + "/" + control_socket_name;
    Errc code = Errc::io;
    if (error == ENOENT || error == ENOTDIR) {
        code = Errc::not_found;
        message = "no node daemon runs in " + run_dir + " (" + socket +
                  " does not exist); start one with sdlm_hb_ctl -S, mount.dlmfs or sdlmd, or name another --run-dir";
    } else if (error == ECONNREFUSED) {
        code = Errc::not_found;
        message = "the node daemon of " + run_dir + " is gone (nobody listens on " + socket +
                  "); start it again with sdlm_hb_ctl -S, mount.dlmfs or sdlmd";
    } else if (error == EACCES || error == EPERM) {
        message = "permission denied for " + socket + ": only root and the user that runs the daemon may use it";
    } else if (error == EAGAIN) {
        code = Errc::timeout;
        message = "the node daemon of " + run_dir + " accepts no connection (stopped or hung?)";
    } else {
        message = "cannot connect to " + socket + ": " + std::strerror(error);
    }
    return {.code = code, .os_errno = error, .field = "control socket"};
}

timeval as_timeval(Duration d) {
    return {.tv_sec = d.ns / 1'000'000'000, .tv_usec = d.ns % 1'000'000'000 / 1000};
}

// Joins one more line of a reply.
void merge(json& whole, const json& line) {
    for (const auto& [name, value] : line.items()) {
        json& there = whole[name];
        if (value.is_array() && there.is_array()) there.insert(there.end(), value.begin(), value.end());
        else if (value.is_object() && there.is_object()) there.update(value);
        else there = value;
    }
}

}  // namespace

Result<ControlClient> ControlClient::connect(const std::string& run_dir, std::string& message, Duration patience) {
    ControlClient client;
    client.run_dir_ = run_dir;
    client.patience_ = patience;
    auto address = unix_address(run_dir + "/" + control_socket_name);
    if (!address) return no_answer(run_dir, address.error().os_errno, message);
    client.fd_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!client.fd_) return no_answer(run_dir, errno, message);
    // connect() waits for room in the daemon's queue; a stopped daemon never makes any.
    const timeval limit = as_timeval(patience);
    ::setsockopt(client.fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(client.fd_.get(), generic(*address), address->bytes) != 0) {
        return no_answer(run_dir, errno, message);
    }
    ucred peer{};
    socklen_t bytes = sizeof peer;
    if (::getsockopt(client.fd_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) {
        return no_answer(run_dir, errno, message);
    }
    client.pid_ = peer.pid;
    client.process_ = open_process(peer.pid);
    return client;
}

Error ControlClient::fail(Error error, const std::string& what, std::string& message) const {
    message = "the node daemon of " + run_dir_ + " (pid " + std::to_string(pid_) + ") " + what;
    return error;
}

Result<void> ControlClient::send_line(const std::string& line, std::string& message) {
    std::string_view left = line;
    while (!left.empty()) {
        const ssize_t sent = ::send(fd_.get(), left.data(), left.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        // Refused in the middle: the daemon's last line says why.
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return {};
        if (sent < 0 && errno == EAGAIN) {
            return fail({.code = Errc::timeout, .field = "control socket"}, "does not read its socket", message);
        }
        if (sent < 0) {
            return fail({.code = Errc::io, .os_errno = errno, .field = "control socket"},
                        std::string("cannot be reached any more: ") + std::strerror(errno), message);
        }
        left.remove_prefix(static_cast<std::size_t>(sent));
    }
    return {};
}

Result<std::string> ControlClient::receive_line(std::string& message) {
    for (;;) {
        const auto end = in_.find('\n');
        if (end != std::string::npos) {
            std::string line = in_.substr(0, end);
            in_.erase(0, end + 1);
            return line;
        }
        if (in_.size() >= control_line_bytes_max) {
            return fail({.code = Errc::too_large, .field = "reply"},
                        "sent a line that is too long; is it another program?", message);
        }
        pollfd waiting{.fd = fd_.get(), .events = POLLIN, .revents = 0};
        const int ready = ::poll(&waiting, 1, static_cast<int>(patience_.ms()));
        if (ready < 0 && errno == EINTR) continue;
        if (ready == 0) {
            return fail({.code = Errc::timeout, .field = "control socket"},
                        "did not answer within " + std::to_string(patience_.ms()) + " ms (stopped or hung?)", message);
        }
        std::array<char, 16 * 1024> chunk;
        const ssize_t got = ::recv(fd_.get(), chunk.data(), chunk.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            return fail({.code = Errc::io, .os_errno = got < 0 ? errno : 0, .field = "control socket"},
                        "closed the connection before it answered; see its log", message);
        }
        in_.append(chunk.data(), static_cast<std::size_t>(got));
    }
}

Result<void> ControlClient::call(const std::string& cmd, json arguments,
                                 const std::function<void(const json&)>& on_line, std::string& message) {
    if (!arguments.is_object()) arguments = json::object();
    arguments["v"] = control_version;
    arguments["cmd"] = cmd;
    const auto sent = send_line(arguments.dump(-1, ' ', false, json::error_handler_t::replace) + "\n", message);
    if (!sent) return sent.error();
    for (;;) {
        SDLM_TRY(text, receive_line(message));
        const json line = json::parse(text, nullptr, false);
        const bool reply = line.is_object() && line.contains("v") && line.value("ok", json()).is_boolean();
        if (!reply) {
            return fail({.code = Errc::bad_field, .field = "reply"}, "sent something else than a reply", message);
        }
        if (!line["ok"].get<bool>()) {
            const json why = line.value("error", json());
            message = why.is_string() ? why.get<std::string>() : "the daemon refused without a reason";
            return Error{.code = Errc::bad_argument, .field = "request"};
        }
        if (line["v"] != control_version) {
            return fail({.code = Errc::bad_version, .field = "reply"},
                        "speaks control protocol version " + line["v"].dump() + ", this tool (sdlm " + SDLM_VERSION +
                            ") version " + std::to_string(control_version) + "; use the tools that came with it",
                        message);
        }
        on_line(line);
        if (!line.value("more", json(false)).is_boolean() || !line.value("more", json(false)).get<bool>()) return {};
    }
}

Result<json> ControlClient::call(const std::string& cmd, json arguments, std::string& message) {
    json whole = json::object();
    const auto done = call(cmd, std::move(arguments), [&](const json& line) { merge(whole, line); }, message);
    if (!done) return done.error();
    for (const char* framing : {"v", "ok", "more"}) whole.erase(framing);
    return whole;
}

Result<void> ControlClient::wait_exit(Duration patience, std::string& message) {
    pollfd waiting{.fd = process_ ? process_.get() : fd_.get(), .events = POLLIN, .revents = 0};
    const Duration step = milliseconds(100);
    for (Duration left = patience; left > Duration{}; left = left - step) {
        const int ready = ::poll(&waiting, 1, static_cast<int>(step.ms()));
        if (ready > 0) return {};
        if (ready < 0 && errno == EINTR) left = left + step;
    }
    return fail({.code = Errc::timeout, .field = "process"},
                "has not ended within " + std::to_string(patience.ms()) + " ms; see its log", message);
}

}  // namespace sdlm::tools
