// SPDX-License-Identifier: LGPL-2.1-or-later
// sdlmd: the node daemon, in the foreground. see sdlmd(8)
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <filesystem>

#include "disk/base/limits.hpp"
#include "tools/sdlmd/daemon.hpp"
#include "tools/sdlmd/log.hpp"

namespace sdlm::tools {
namespace {

std::string check_name(const std::string& name) {
    if (name.empty() || name.size() > limits::node_name_bytes)
        return "must have 1 to " + std::to_string(limits::node_name_bytes) + " bytes";
    for (const char c : name) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) return "must not contain control characters";
    }
    return {};
}

std::string check_absolute(std::string& path) {
    std::error_code error;
    path = std::filesystem::absolute(path, error).lexically_normal().string();
    return error ? error.message() : std::string();
}

void add_options(CLI::App& app, DaemonOptions& options) {
    app.set_version_flag("--version", "sdlmd " SDLM_VERSION);
    app.add_option("--device", options.device, "shared block device or image file with an sdlm volume")
        ->required()->type_name("DEVICE");
    app.add_option("--node", options.node, "node number to take (default: the host's former one, else a free one)")
        ->type_name("N")->check(CLI::Range(0, static_cast<int>(limits::slots_max) - 1));
    app.add_option("--name", options.name, "node name (default: the host's name)")
        ->type_name("NAME")->check(CLI::Validator(check_name, ""));
    app.add_option("--run-dir", options.run_dir, "run directory (default: /run/sdlm/VOLUME-UUID)")
        ->type_name("DIR")->transform(CLI::Validator(check_absolute, ""));
    app.add_option("--mount", options.mounts, "mount a dlmfs here; may be given several times")
        ->type_name("DIR")->expected(1)->allow_extra_args(false)->take_all()
        ->transform(CLI::Validator(check_absolute, ""));
    app.add_flag("--allow-other", options.allow_other, "other users may enter the mounts (default: when run by root)");
    app.add_option("--service", options.references,
                   "take a reference for this service from the start, as sdlm_hb_ctl -S does")
        ->type_name("NAME")->expected(1)->allow_extra_args(false)->take_all();
    app.add_option_function<std::string>(
           "--on-lease-loss",
           [&options](const std::string& policy) {
               if (policy == "exit") options.on_lease_loss = OnLeaseLoss::exit;
               else if (policy == "stay") options.on_lease_loss = OnLeaseLoss::stay;
               else throw CLI::ValidationError("--on-lease-loss", "'" + policy + "': give exit or stay");
           },
           "exit, or stay until stopped (default: stay while something is mounted)")
        ->type_name("exit|stay");
}

// Paged out, the daemon might need the very storage that hangs to renew its lease.
void lock_memory() {
    // Under a limit that counts, MCL_FUTURE would turn a later allocation into a failure. With the limit at 0 only a
    // process that no limit binds (CAP_IPC_LOCK) succeeds.
    rlimit limit{};
    ::getrlimit(RLIMIT_MEMLOCK, &limit);
    const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    const rlimit nothing{0, limit.rlim_max};
    const bool free = ::setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0;
    if (!free) ::setrlimit(RLIMIT_MEMLOCK, &nothing);
    const bool locked = ::mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
    if (!free) ::setrlimit(RLIMIT_MEMLOCK, &limit);
    if (!locked) log(LogLevel::info, "memory is not locked: no permission (CAP_IPC_LOCK or LimitMEMLOCK=infinity)");
}

void prepare_signals() {
    ::signal(SIGPIPE, SIG_IGN);
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGTERM);
    ::sigaddset(&set, SIGINT);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
}

int run(int argc, char** argv) {
    CLI::App app("Node daemon of the shared-disk lock manager sdlm: takes part in the heartbeat and the locks of one "
                 "volume. Runs in the foreground until SIGTERM or SIGINT, then leaves cleanly.", "sdlmd");
    app.footer("Exit code: 0 clean leave, 1 failed (message on stderr), 2 usage.");
    DaemonOptions options;
    add_options(app, options);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    prepare_signals();
    std::string message;
    auto daemon = Daemon::create(options, message);
    if (!daemon) {
        log(LogLevel::error, message.empty() ? describe(daemon.error()) : message);
        return 1;
    }
    lock_memory();
    return (*daemon)->run();
}

}  // namespace
}  // namespace sdlm::tools

int main(int argc, char** argv) {
    try {
        return sdlm::tools::run(argc, argv);
    } catch (const std::exception& error) {
        sdlm::tools::log(sdlm::tools::LogLevel::error, error.what());
        return 1;
    }
}
