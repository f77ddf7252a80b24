// SPDX-License-Identifier: LGPL-2.1-or-later
// mount(8)'s helper: `mount -t dlmfs DEVICE DIR` runs `mount.dlmfs DEVICE DIR [-sfnv] [-o OPTIONS]`.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "tools/common/cli.hpp"
#include "tools/common/daemon_session.hpp"
#include "tools/common/run_dirs.hpp"
#include "tools/common/volume_search.hpp"
#include "tools/mount/mount_options.hpp"

namespace {

using namespace sdlm;
using namespace sdlm::tools;

// Exit codes of mount(8).
constexpr int exit_mount_usage = 1;
constexpr int exit_mount_failed = 32;
constexpr const char* program = "mount.dlmfs";

struct Arguments {
    std::string device;
    std::string directory;
    std::vector<std::string> options;
    std::string type;
    bool fake = false;
    bool sloppy = false;
    bool verbose = false;
    bool read_only = false;
    bool ignored = false;
};

int complain(const std::string& message, int code) {
    failed(program, message);
    return code;
}

Result<Volume> find(const std::string& spec, std::string& message) {
    constexpr std::string_view prefix = "UUID=";
    if (!spec.starts_with(prefix)) return volume_on(spec, message);
    Uuid uuid;
    if (!parse_uuid(std::string_view(spec).substr(prefix.size()), uuid)) {
        message = spec + ": not a UUID";
        return Error{.code = Errc::bad_argument, .field = "UUID"};
    }
    return find_volume(uuid, block_devices(), message);
}

Result<void> mount_on_running(DaemonSession& session, const MountOptions& options, const std::string& directory,
                              std::string& message) {
    if (options.node && session.status.at("node") != *options.node) {
        message = "the volume's daemon runs as node " + session.status.at("node").dump() + ", not as node " +
                  std::to_string(*options.node) + "; end it first or leave node= away";
        return Error{.code = Errc::busy, .field = "node"};
    }
    nlohmann::json request{{"dir", directory}, {"allow_other", options.allow_other}};
    if (!options.client_policy.empty()) request["client_policy"] = options.client_policy;
    const auto mounted = session.client.call("mount", std::move(request), message);
    if (!mounted) return mounted.error();
    return {};
}

int mount(const Arguments& a) {
    std::string message;
    MountOptions options;
    if (a.read_only) return complain("-r: a dlmfs cannot be read-only", exit_mount_usage);
    for (const std::string& text : a.options) {
        const auto parsed =
            parse_mount_options(text, a.sloppy ? Unknown::ignore : Unknown::refuse, options, message);
        if (!parsed) return complain(message, exit_mount_usage);
    }
    std::error_code error;
    const auto directory = std::filesystem::canonical(a.directory, error);
    if (error) return complain("mount point " + a.directory + ": " + error.message(), exit_mount_failed);
    if (!std::filesystem::is_directory(directory, error)) {
        return complain("mount point " + a.directory + " is not a directory", exit_mount_failed);
    }
    const auto volume = find(a.device, message);
    if (!volume) return complain(message, exit_mount_failed);
    const std::string run_dir = options.run_dir.empty() ? default_run_dir(volume->uuid) : options.run_dir;
    if (a.fake) return exit_ok;
    if (!make_run_dir(run_dir, message)) return complain(message, exit_mount_failed);
    const auto turn = RunDirLock::take(run_dir, message);
    if (!turn) return complain(message, exit_mount_failed);
    const LaunchRequest request{.device = volume->device, .run_dir = run_dir, .node = options.node,
                                .name = options.name, .mount = directory.string(),
                                .allow_other = options.allow_other, .services = {},
                                .client_policy = options.client_policy};
    auto session = attach_or_launch(request, volume->uuid, message);
    if (!session) return complain(message, exit_mount_failed);
    if (!session->started && !mount_on_running(*session, options, directory.string(), message)) {
        return complain(message, exit_mount_failed);
    }
    if (a.verbose) {
        std::cerr << program << ": " << volume->device << " mounted on " << directory.string() << ", node "
                  << session->status.at("node") << ", run directory " << run_dir << '\n';
    }
    return exit_ok;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Mount the dlmfs of a shared-disk lock manager volume.", program);
    Arguments a;
    app.set_version_flag("--version,-V", "mount.dlmfs " SDLM_VERSION);
    app.add_option("DEVICE", a.device, "Block device, image file or UUID=...")->required();
    app.add_option("DIR", a.directory, "Mount point")->required();
    app.add_option("-o", a.options, "node=N,name=NAME,run_dir=DIR,client_policy=POLICY,allow_other; options of mount(8) are ignored")
        ->type_name("OPTIONS")->allow_extra_args(false);
    app.add_option("-t", a.type, "Ignored");
    app.add_flag("-f", a.fake, "Check everything, mount nothing");
    app.add_flag("-s", a.sloppy, "Ignore unknown options");
    app.add_flag("-v", a.verbose, "Say what was done");
    app.add_flag("-r", a.read_only, "Refused: a dlmfs cannot be read-only");
    app.add_flag("-n,-w", a.ignored, "Ignored (mtab, read-write)");
    return parse_and_run(app, argc, argv, exit_mount_usage, [&] { return mount(a); });
}
