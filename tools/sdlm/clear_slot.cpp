// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlm/clear_slot.hpp"

#include <unistd.h>

#include <ctime>
#include <iostream>
#include <optional>

#include "tools/common/cli.hpp"
#include "tools/sdlmd/host_identity.hpp"
#include "tools/sdlmd/node_runtime.hpp"

namespace sdlm::tools {

namespace {

constexpr const char* program = "sdlm";

node::Identity identity_for(NodeIndex slot) {
    const HostId host = read_host_id();
    node::Identity identity;
    identity.requested = slot;
    identity.host = host.uuid;
    identity.boot = host.boot;
    identity.host_name = host_name();
    identity.node_name = "clear-slot";
    identity.version = SDLM_VERSION;
    identity.pid = static_cast<std::uint32_t>(::getpid());
    identity.started_unix = static_cast<std::uint64_t>(std::time(nullptr));
    identity.nonce_seed = random_seed();
    return identity;
}

}  // namespace

int clear_slot(const std::string& path, NodeIndex slot) {
    std::string message;
    auto device = disk::BlockDevice::open(path, {.writable = true});
    if (!device) return failed(program, "cannot open " + path + ": " + describe(device.error()));
    const auto loaded = disk::load_superblock(*device, message);
    if (!loaded) return failed(program, message);
    const disk::Superblock& superblock = loaded->superblock;
    const auto timing = heartbeat::make_timing(superblock.heartbeat_ms, superblock.lease_ms, superblock.io_timeout_ms);
    if (!timing) return failed(program, path + ": superblock: " + describe(timing.error()));
    auto reactor = disk::Reactor::create(reactor_options(superblock), message);
    if (!reactor) return failed(program, message);
    if (auto registered = (*reactor)->register_file(device->fd()); !registered)
        return failed(program, path + ": " + describe(registered.error()));

    std::optional<int> code;
    std::unique_ptr<NodeRuntime> runtime;
    const auto happened = [&](const node::NodeEvent& event) {
        if (std::holds_alternative<node::Joined>(event)) runtime->leave();
        if (const auto* warning = std::get_if<node::Warning>(&event)) std::cerr << program << ": " << warning->message << '\n';
        if (const auto* no = std::get_if<node::JoinFailed>(&event)) code = failed(program, path + ": " + no->message);
        if (const auto* lost = std::get_if<node::LeaseLost>(&event)) code = failed(program, path + ": " + lost->reason);
        if (std::holds_alternative<node::Left>(event)) code = exit_ok;
        if (code) (*reactor)->stop();
    };
    runtime = std::make_unique<NodeRuntime>(**reactor, *device, superblock, *timing, identity_for(slot), happened);
    runtime->start();
    (*reactor)->set_round_end([&] { return runtime->pump(); });
    (*reactor)->run();
    if (code == exit_ok) std::cout << "slot " << slot << " of " << path << " is free\n";
    return code.value_or(exit_failed);
}

}  // namespace sdlm::tools
