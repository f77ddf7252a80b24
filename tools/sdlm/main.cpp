// SPDX-License-Identifier: LGPL-2.1-or-later
#include <iostream>
#include <optional>

#include "disk/base/limits.hpp"
#include "tools/common/cli.hpp"
#include "tools/common/dump.hpp"
#include "tools/common/run_dirs.hpp"
#include "tools/sdlm/commands.hpp"

namespace {

using namespace sdlm;
using namespace sdlm::tools;

struct Arguments {
    std::string run_dir;
    std::string lockspace;
    std::string device;
    std::string directory;
    std::optional<NodeIndex> slot;
    NodeIndex node = 0;
    bool json = false;
    bool verbose = false;
    bool force = false;
    bool allow_other = false;
    bool pages = false;
};

CLI::App* subcommand(CLI::App& app, Arguments& a, const char* name, const char* what) {
    CLI::App* sub = app.add_subcommand(name, what);
    sub->add_flag("--json", a.json, "Print JSON");
    return sub;
}

int dump_device(const Arguments& a) {
    auto device = disk::BlockDevice::open(a.device, {});
    if (!device) return failed("sdlm", "cannot read " + a.device + ": " + describe(device.error()));
    DumpOptions options;
    options.slot = a.slot;
    options.json = a.json;
    options.pages = a.pages;
    return dump(*device, options, std::cout);
}

void describe_commands(CLI::App& app, Arguments& a) {
    const auto node_range = CLI::Range(0, static_cast<int>(limits::slots_max) - 1);
    auto* status = subcommand(app, a, "status", "Show the nodes, their heartbeats and the timing of the volume");
    status->add_flag("-v,--verbose", a.verbose, "Also incarnations, references and counters");
    auto* locks = subcommand(app, a, "locks", "Show the lock table of all nodes, as this node knows it");
    locks->add_option("-l,--lockspace", a.lockspace, "Only this lockspace (dlmfs: domain)");
    auto* dump = subcommand(app, a, "dump", "Show what lies on a device; read-only, works without a daemon");
    dump->add_option("DEVICE", a.device, "Block device or image file")->required();
    dump->add_option("-s,--slot", a.slot, "Only the slot and area of this node")->check(node_range);
    dump->add_flag("--pages", a.pages, "Also every journal page");
    auto* fence = subcommand(app, a, "fence", "Ask a node to stop itself at once");
    fence->add_option("NODE", a.node, "Number of the node's slot")->required()->check(node_range);
    auto* stop = subcommand(app, a, "stop", "Leave cleanly, end the daemon and wait for it");
    stop->add_flag("-f,--force", a.force, "Even with references or locks in use");
    subcommand(app, a, "refs", "Show who needs the daemon");
    auto* mount = subcommand(app, a, "mount", "Mount the dlmfs of the running daemon");
    mount->add_option("DIR", a.directory, "Mount point")->required();
    mount->add_flag("--allow-other", a.allow_other, "For all users, not only the daemon's");
    auto* umount = subcommand(app, a, "umount", "Unmount it");
    umount->add_option("DIR", a.directory, "Mount point")->required();
}

int run(const CLI::App& app, const Arguments& a) {
    if (app.got_subcommand("dump")) return dump_device(a);
    Commands commands(a.run_dir, a.json ? Form::json : Form::text, std::cout);
    if (app.got_subcommand("status")) return commands.status(a.verbose ? Detail::verbose : Detail::normal);
    if (app.got_subcommand("locks")) return commands.locks(a.lockspace);
    if (app.got_subcommand("fence")) return commands.fence(a.node);
    if (app.got_subcommand("stop")) return commands.stop(a.force);
    if (app.got_subcommand("refs")) return commands.refs();
    if (app.got_subcommand("mount")) return commands.mount(a.directory, a.allow_other);
    return commands.umount(a.directory);
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Look at and steer a shared-disk lock manager node.", "sdlm");
    Arguments arguments;
    app.set_version_flag("--version", "sdlm " SDLM_VERSION);
    app.add_option("--run-dir", arguments.run_dir, "Run directory of the daemon (default: the only one in /run/sdlm)")
        ->envname(run_dir_variable);
    app.require_subcommand(1);
    app.fallthrough();
    describe_commands(app, arguments);
    return parse_and_run(app, argc, argv, exit_usage, [&] { return run(app, arguments); });
}
