// SPDX-License-Identifier: LGPL-2.1-or-later
#include <iostream>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "disk/base/limits.hpp"
#include "tools/common/cli.hpp"
#include "tools/common/dump.hpp"
#include "tools/common/run_dirs.hpp"
#include "tools/sdlm/clear_slot.hpp"
#include "tools/sdlm/commands.hpp"
#include "tools/sdlm/lock_command.hpp"
#include "tools/sdlm/with_dlm.hpp"

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
    bool timeline = false;
    bool wait = false;
    bool host_is_off = false;
    std::string name;
    std::string libdlm;
    std::optional<double> timeout;
    std::optional<double> grace;
    int conflict_code = exit_failed;
    bool shared = false;
    bool nonblock = false;
    std::vector<std::string> command;
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

// Commands that run a command. What comes after "--" is not ours to parse.
void describe_runners(CLI::App& app, Arguments& a) {
    constexpr double seconds_max = 1e9;
    auto* lock = app.add_subcommand("lock", "Run a command while a lock is held");
    lock->add_flag("-s,--shared", a.shared, "Together with others that share it (default: alone)");
    auto* nonblock = lock->add_flag("-n,--nonblock", a.nonblock, "Fail when somebody else has it");
    lock->add_option("-w,--timeout", a.timeout, "Fail after so many seconds")
        ->check(CLI::Range(0.0, seconds_max))->excludes(nonblock);
    lock->add_option("-E,--conflict-exit-code", a.conflict_code, "Exit code of these failures")
        ->check(CLI::Range(0, 255))->capture_default_str();
    lock->add_option("--grace", a.grace, "Seconds from TERM to KILL when the lease is lost (default: half of told_ms of the volume's timing)")
        ->check(CLI::Range(0.0, seconds_max))->capture_default_str();
    lock->add_option("LOCKSPACE", a.lockspace, "Made when this node does not have it (root only)")->required();
    lock->add_option("NAME", a.name, "Name of the lock, up to 64 bytes")->required();
    lock->footer("sdlm lock [OPTIONS] LOCKSPACE NAME -- COMMAND...");
    auto* with_dlm = app.add_subcommand("with-dlm", "Run a program that was written for the kernel's DLM");
    with_dlm->add_option("--libdlm", a.libdlm, "Directory of libdlm.so.3 (default: the one that came with this tool)");
    with_dlm->footer("sdlm with-dlm [OPTIONS] -- COMMAND...");
}

void describe_commands(CLI::App& app, Arguments& a) {
    const auto node_range = CLI::Range(0, static_cast<int>(limits::slots_max) - 1);
    auto* status = subcommand(app, a, "status", "Show the nodes, their heartbeats and the timing of the volume");
    status->add_flag("-v,--verbose", a.verbose, "Also incarnations, references and counters");
    status->add_flag("--timeline", a.timeline, "Show instead what happens when, after a node's last heartbeat");
    auto* locks = subcommand(app, a, "locks", "Show the lock table of all nodes, as this node knows it");
    locks->add_option("-l,--lockspace", a.lockspace, "Only this lockspace (dlmfs: domain)");
    auto* dump = subcommand(app, a, "dump", "Show what lies on a device; read-only, works without a daemon");
    dump->add_option("DEVICE", a.device, "Block device or image file")->required();
    dump->add_option("-s,--slot", a.slot, "Only the slot and area of this node")->check(node_range);
    dump->add_flag("--pages", a.pages, "Also every journal page");
    auto* fence = subcommand(app, a, "fence", "Ask a node to stop itself at once");
    fence->add_option("NODE", a.node, "Number of the node's slot")->required()->check(node_range);
    fence->add_flag("-w,--wait", a.wait, "Until it is over; exit code 3: it did not answer and was evicted by the clock");
    auto* evict = subcommand(app, a, "evict", "Give the locks of a silent node to others before its lease is over");
    evict->add_option("NODE", a.node, "Number of the node's slot")->required()->check(node_range);
    evict->add_flag("--host-is-off", a.host_is_off, "You know that its host cannot write any more");
    auto* clear = app.add_subcommand("clear-slot", "Free a node slot that shows garbage or the remains of a dead node");
    clear->add_option("DEVICE", a.device, "Block device or image file")->required();
    clear->add_option("-s,--slot", a.slot, "Number of the slot")->required()->check(node_range);
    auto* stop = subcommand(app, a, "stop", "Leave cleanly, end the daemon and wait for it");
    stop->add_flag("-f,--force", a.force, "Even with references or locks in use");
    subcommand(app, a, "refs", "Show who needs the daemon");
    auto* mount = subcommand(app, a, "mount", "Mount the dlmfs of the running daemon");
    mount->add_option("DIR", a.directory, "Mount point")->required();
    mount->add_flag("--allow-other", a.allow_other, "For all users, not only the daemon's");
    auto* umount = subcommand(app, a, "umount", "Unmount it");
    umount->add_option("DIR", a.directory, "Mount point")->required();
}

Duration seconds(double count) { return {static_cast<std::int64_t>(count * 1e9)}; }

int run_lock(const Arguments& a) {
    LockOptions options;
    options.run_dir = a.run_dir;
    options.lockspace = a.lockspace;
    options.name = a.name;
    if (a.shared) options.sharing = Sharing::shared;
    if (a.nonblock) options.patience = Duration{};
    else if (a.timeout) options.patience = seconds(*a.timeout);
    options.conflict_code = a.conflict_code;
    if (a.grace) options.grace = seconds(*a.grace);
    options.command = a.command;
    return lock_command(options);
}

int run(const CLI::App& app, const Arguments& a) {
    if (app.got_subcommand("lock") || app.got_subcommand("with-dlm")) {
        if (a.command.empty()) throw CLI::RequiredError("a command after --");
        if (app.got_subcommand("lock")) return run_lock(a);
        return with_dlm({.run_dir = a.run_dir, .libdlm = a.libdlm, .command = a.command});
    }
    if (app.got_subcommand("dump")) return dump_device(a);
    if (app.got_subcommand("clear-slot")) return clear_slot(a.device, *a.slot);
    Commands commands(a.run_dir, a.json ? Form::json : Form::text, std::cout);
    if (app.got_subcommand("status") && a.timeline) return commands.timeline();
    if (app.got_subcommand("status")) return commands.status(a.verbose ? Detail::verbose : Detail::normal);
    if (app.got_subcommand("locks")) return commands.locks(a.lockspace);
    if (app.got_subcommand("fence")) return commands.fence(a.node, a.wait ? Waiting::yes : Waiting::no);
    if (app.got_subcommand("evict")) return commands.evict(a.node, a.host_is_off);
    if (app.got_subcommand("stop")) return commands.stop(a.force);
    if (app.got_subcommand("refs")) return commands.refs();
    if (app.got_subcommand("mount")) return commands.mount(a.directory, a.allow_other);
    return commands.umount(a.directory);
}

// The command of `lock` and `with-dlm`; the rest of the command line stays in `argc`.
std::vector<std::string> take_command(int& argc, char** argv) {
    bool runs = false;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        runs = runs || word == "lock" || word == "with-dlm";
        if (word != "--" || !runs) continue;
        const std::span<char*> words(argv, static_cast<std::size_t>(argc));
        std::vector<std::string> command(words.begin() + i + 1, words.end());
        argc = i;
        return command;
    }
    return {};
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
    describe_runners(app, arguments);
    arguments.command = take_command(argc, argv);
    return parse_and_run(app, argc, argv, exit_usage, [&] { return run(app, arguments); });
}
