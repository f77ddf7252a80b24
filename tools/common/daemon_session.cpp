// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/daemon_session.hpp"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>
#include <thread>
#include <utility>

namespace sdlm::tools {

using nlohmann::json;

namespace {

constexpr std::chrono::milliseconds state_poll{50};
constexpr Duration leave_patience = milliseconds(60'000);

bool is_joining(const std::string& state) {
    constexpr std::array<std::string_view, 3> joining{"idle", "choosing", "claiming"};
    return std::find(joining.begin(), joining.end(), state) != joining.end();
}

Error refused(const std::string& why, std::string& message) {
    message = why;
    return {.code = Errc::busy, .field = "run directory"};
}

// A daemon that ends gives its lock file up a little later than its socket. One that keeps it longer than this is left
// to the new daemon's own error message.
void wait_until_unlocked(const std::string& run_dir) {
    const UniqueFd lock(::open((run_dir + "/sdlmd.lock").c_str(), O_RDWR | O_CLOEXEC));
    if (!lock) return;
    for (int tries = 0; tries < 40 && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0; ++tries) {
        std::this_thread::sleep_for(state_poll);
    }
}

}  // namespace

bool is_leaving(const json& status) {
    const std::string state = status.at("state");
    return state == "leaving" || state == "left";
}

Result<json> settled_status(ControlClient& client, std::string& message) {
    for (;;) {
        SDLM_TRY(reply, client.call("status", {}, message));
        if (!is_joining(reply.at("status").at("state"))) return std::move(reply.at("status"));
        std::this_thread::sleep_for(state_poll);
    }
}

Result<DaemonSession> attach_or_launch(const LaunchRequest& request, const Uuid& volume, std::string& message) {
    const std::string& run_dir = request.run_dir;
    auto client = ControlClient::connect(run_dir, message);
    if (!client && client.error().code != Errc::not_found) return client.error();
    if (client) {
        SDLM_TRY(status, settled_status(*client, message));
        const std::string uuid = status.at("volume").at("uuid");
        if (uuid != to_string(volume)) {
            return refused("the daemon of " + run_dir + " serves another volume, " + uuid + "; use another --run-dir",
                           message);
        }
        if (status.at("state") == "live") return DaemonSession{std::move(*client), std::move(status), false};
        if (!is_leaving(status)) {
            return refused("the daemon of " + run_dir + " is " + status.at("state").get<std::string>() + ": " +
                               status.at("problem").get<std::string>() +
                               "; end it first (sdlm stop --force --run-dir " + run_dir + ")",
                           message);
        }
        const auto ended = client->wait_exit(leave_patience, message);
        if (!ended) return ended.error();
    }
    wait_until_unlocked(run_dir);
    const auto launched = launch_daemon(request, message);
    if (!launched) return launched.error();
    SDLM_TRY(fresh, ControlClient::connect(run_dir, message));
    SDLM_TRY(status, settled_status(fresh, message));
    return DaemonSession{std::move(fresh), std::move(status), true};
}

}  // namespace sdlm::tools
