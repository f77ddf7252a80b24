// SPDX-License-Identifier: LGPL-2.1-or-later
// sdlmd: the node daemon, in the foreground. see sdlmd(8)
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <exception>
#include <filesystem>

#include "disk/base/limits.hpp"
#include "tools/sdlmd/daemon.hpp"
#include "tools/common/log.hpp"

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

// POLICY, or LOCKSPACE=POLICY.
void set_policy(const std::string& text, DaemonOptions& options) {
    const std::size_t equals = text.rfind('=');
    const std::string word = equals == std::string::npos ? text : text.substr(equals + 1);
    ClientPolicy policy = ClientPolicy::notify;
    if (!parse(word, policy) || equals == 0)
        throw CLI::ValidationError("--client-policy", "'" + text + "': give notify, kill or reset, or LOCKSPACE=POLICY");
    if (equals == std::string::npos) options.client_policy = policy;
    else options.lockspace_policy[text.substr(0, equals)] = policy;
}

void add_fencing_options(CLI::App& app, DaemonOptions& options) {
    app.add_option_function<std::vector<std::string>>(
           "--client-policy",
           [&options](const std::vector<std::string>& words) {
               for (const std::string& word : words) set_policy(word, options);
           },
           "what happens to programs that hold locks when the lease is lost: notify (default), kill, or reset; for one "
           "libdlm lockspace: LOCKSPACE=POLICY; may be given several times")
        ->type_name("POLICY")->expected(1)->allow_extra_args(false)->take_all();
    app.add_option("--watchdog", options.watchdog, "watchdog device that resets the host when programs cannot be stopped")
        ->type_name("DEVICE");
    app.add_option("--fence-hook", options.fence_hook, "program to run when another node is evicted")
        ->type_name("PROGRAM")->transform(CLI::Validator(check_absolute, ""));
    app.add_flag("--fence-before-grant", options.fence_before_grant,
                 "evict a silent node only when the program has succeeded; give it on all nodes");
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
    add_fencing_options(app, options);
}

// What cannot be kept is refused before the node takes part.
std::string problem_of(const DaemonOptions& options) {
    bool reset = options.client_policy == ClientPolicy::reset;
    for (const auto& [lockspace, policy] : options.lockspace_policy) reset = reset || policy == ClientPolicy::reset;
    if (reset && options.watchdog.empty()) return "--client-policy reset needs a watchdog: name its device with --watchdog";
    if (options.fence_before_grant && options.fence_hook.empty())
        return "--fence-before-grant waits for a program: name it with --fence-hook";
    if (!options.fence_hook.empty() && !options.node)
        return "--fence-hook is told the number of this node before it takes part: choose it with --node";
    if (!options.fence_hook.empty() && ::access(options.fence_hook.c_str(), X_OK) != 0)
        return "--fence-hook " + options.fence_hook + ": " + std::strerror(errno) + "; give an executable file";
    return {};
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
    if (const std::string problem = problem_of(options); !problem.empty()) {
        log(LogLevel::error, problem);
        return 2;
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
        if (argc > 0 && std::strcmp(argv[0], sdlm::tools::guardian_name) == 0)
            return sdlm::tools::guardian_main(argc, argv);
        return sdlm::tools::run(argc, argv);
    } catch (const std::exception& error) {
        sdlm::tools::log(sdlm::tools::LogLevel::error, error.what());
        return 1;
    }
}
