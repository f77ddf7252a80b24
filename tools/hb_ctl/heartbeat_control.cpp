// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/hb_ctl/heartbeat_control.hpp"

#include <linux/ioprio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <system_error>

#include "tools/common/cli.hpp"
#include "tools/common/daemon_session.hpp"
#include "tools/common/run_dirs.hpp"
#include "tools/common/volume_search.hpp"

namespace sdlm::tools {

using nlohmann::json;

namespace {

constexpr const char* program = "sdlm_hb_ctl";
constexpr Duration leave_patience = milliseconds(60'000);

struct Region {
    Volume volume;
    std::string run_dir;
};

bool same_file(const std::string& a, const std::string& b) {
    std::error_code error;
    return a == b || std::filesystem::equivalent(a, b, error);
}

// The volume of a daemon that already runs: works when the device itself does not answer any more.
std::optional<Region> running_region(const HeartbeatRequest& request) {
    const auto directories =
        request.run_dir.empty() ? daemon_run_dirs(run_root) : std::vector<std::string>{request.run_dir};
    for (const std::string& directory : directories) {
        std::string ignored;
        auto client = ControlClient::connect(directory, ignored);
        if (!client) continue;
        const auto reply = client->call("status", {}, ignored);
        if (!reply) continue;
        const json& status = reply->at("status");
        Region region{.volume = {}, .run_dir = directory};
        region.volume.device = status.at("device");
        if (!parse_uuid(status.at("volume").at("uuid").get<std::string>(), region.volume.uuid)) continue;
        const bool match = request.uuid ? *request.uuid == region.volume.uuid
                                        : same_file(region.volume.device, request.device);
        if (match) return region;
    }
    return std::nullopt;
}

Result<Region> find_region(const HeartbeatRequest& request, std::string& message) {
    if (auto running = running_region(request)) return std::move(*running);
    SDLM_TRY(volume, request.uuid ? find_volume(*request.uuid, block_devices(), message)
                                  : volume_on(request.device, message));
    std::string run_dir = request.run_dir.empty() ? default_run_dir(volume.uuid) : request.run_dir;
    return Region{std::move(volume), std::move(run_dir)};
}

bool set_priority(pid_t process, int priority, std::string& message) {
    std::error_code error;
    const std::string tasks = "/proc/" + std::to_string(process) + "/task";
    const int value = static_cast<int>(IOPRIO_PRIO_VALUE(static_cast<unsigned>(IOPRIO_CLASS_RT),
                                                         static_cast<unsigned>(priority)));
    for (std::filesystem::directory_iterator it(tasks, error), end; !error && it != end; it.increment(error)) {
        const int thread = std::stoi(it->path().filename().string());
        if (::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, thread, value) == 0 || errno == ESRCH) continue;
        message = "cannot set the I/O priority of the daemon (pid " + std::to_string(process) +
                  "): " + std::strerror(errno);
        return false;
    }
    if (error) message = tasks + ": " + error.message();
    return !error;
}

}  // namespace

int start_heartbeat(const HeartbeatRequest& request) {
    std::string message;
    const auto region = find_region(request, message);
    if (!region) return failed(program, message);
    if (!make_run_dir(region->run_dir, message)) return failed(program, message);
    const auto turn = RunDirLock::take(region->run_dir, message);
    if (!turn) return failed(program, message);
    LaunchRequest launch{.device = region->volume.device, .run_dir = region->run_dir, .node = request.node,
                         .name = request.name, .mount = {}, .allow_other = false, .services = {request.service}, .client_policy = {}};
    auto session = attach_or_launch(launch, region->volume.uuid, message);
    if (!session) return failed(program, message);
    if (session->started) return exit_ok;
    if (!session->client.call("ref_add", {{"name", request.service}}, message)) return failed(program, message);
    return exit_ok;
}

int stop_heartbeat(const HeartbeatRequest& request) {
    std::string message;
    const auto region = find_region(request, message);
    if (!region) return failed(program, message);
    if (!std::filesystem::is_directory(region->run_dir)) {
        return failed(program, "no heartbeat runs on " + region->volume.device + " (" + region->run_dir +
                                   " does not exist)");
    }
    const auto turn = RunDirLock::take(region->run_dir, message);
    if (!turn) return failed(program, message);
    auto client = ControlClient::connect(region->run_dir, message);
    if (!client) return failed(program, message);
    const auto reply = client->call("ref_remove", {{"name", request.service}}, message);
    if (!reply) return failed(program, message);
    if (reply->value("total", 1) > 0) return exit_ok;
    // A daemon that was started on its own account stays; one that lives for its references leaves now.
    const auto status = client->call("status", {}, message);
    if (status && !is_leaving(status->at("status"))) return exit_ok;
    return client->wait_exit(leave_patience, message) ? exit_ok : failed(program, message);
}

int show_references(const HeartbeatRequest& request) {
    std::string message;
    const auto region = find_region(request, message);
    if (!region) return failed(program, message);
    std::uint64_t total = 0;
    auto client = ControlClient::connect(region->run_dir, message);
    if (!client && client.error().code != Errc::not_found) return failed(program, message);
    if (client) {
        const auto reply = client->call("refs", {}, message);
        if (!reply) return failed(program, message);
        const json refs = reply->value("refs", json::object());
        for (const json& count : refs) total += count.get<std::uint64_t>();
    }
    std::cout << to_string(region->volume.uuid) << ": " << total << " refs\n";
    return exit_ok;
}

int set_io_priority(const HeartbeatRequest& request) {
    std::string message;
    const auto region = find_region(request, message);
    if (!region) return failed(program, message);
    const auto client = ControlClient::connect(region->run_dir, message);
    if (!client) return failed(program, message);
    return set_priority(client->pid(), request.priority, message) ? exit_ok : failed(program, message);
}

}  // namespace sdlm::tools
