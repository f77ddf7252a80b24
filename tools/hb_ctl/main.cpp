// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/base/limits.hpp"
#include "tools/common/cli.hpp"
#include "tools/common/run_dirs.hpp"
#include "tools/hb_ctl/heartbeat_control.hpp"

int main(int argc, char** argv) {
    using namespace sdlm;
    using namespace sdlm::tools;
    CLI::App app("Start, stop and look at the heartbeat on a shared disk.", "sdlm_hb_ctl");
    app.set_version_flag("--version", "sdlm_hb_ctl " SDLM_VERSION);
    HeartbeatRequest request;
    bool start = false;
    bool stop = false;
    bool references = false;
    bool priority = false;
    std::string uuid;
    auto* actions = app.add_option_group("actions", "One of");
    actions->add_flag("-S,--start", start, "Start the heartbeat, or count one more user of it");
    actions->add_flag("-K,--stop", stop, "Count one user less; the last one stops the heartbeat");
    actions->add_flag("-I,--references", references, "Print how many references there are");
    actions->add_flag("-P,--priority", priority, "Set the I/O priority of the daemon (see -n)");
    actions->require_option(1);
    auto* regions = app.add_option_group("volume", "One of");
    regions->add_option("-d,--device", request.device, "The volume on this block device or image file");
    regions->add_option("-u,--uuid", uuid, "The volume with this UUID")->check([](const std::string& text) {
        Uuid parsed;
        return parse_uuid(text, parsed) ? std::string() : text + " is not a UUID (8-4-4-4-12 hexadecimal digits)";
    });
    regions->require_option(1);
    app.add_option("-n,--io-priority", request.priority, "0 (first) .. 7 of the real-time class, for -P")
        ->check(CLI::Range(0, 7))->capture_default_str();
    app.add_option("--run-dir", request.run_dir, "Run directory of the daemon (default: /run/sdlm/<uuid>)")
        ->envname(run_dir_variable);
    app.add_option("--node", request.node, "Number of this node, when -S starts the daemon")
        ->check(CLI::Range(0, static_cast<int>(limits::slots_max) - 1));
    app.add_option("--name", request.name, "Name of this node, when -S starts the daemon");
    app.add_option("SERVICE", request.service, "Name of the reference, for -S and -K");
    app.callback([&] {
        if ((start || stop) && request.service.empty()) throw CLI::RequiredError("SERVICE (with -S and -K)");
        if ((references || priority) && !request.service.empty()) throw CLI::ExtrasError({request.service});
    });
    return parse_and_run(app, argc, argv, exit_usage, [&] {
        if (!uuid.empty() && !parse_uuid(uuid, request.uuid.emplace())) return exit_usage;
        if (start) return start_heartbeat(request);
        if (stop) return stop_heartbeat(request);
        return references ? show_references(request) : set_io_priority(request);
    });
}
