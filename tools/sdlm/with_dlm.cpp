// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlm/with_dlm.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "disk/base/result.hpp"
#include "tools/common/cli.hpp"
#include "tools/common/run_dirs.hpp"
#include "tools/common/unique_fd.hpp"
#include "tools/control/control_client.hpp"
#include "tools/sdlm/lock_command.hpp"

namespace sdlm::tools {
namespace {

namespace files = std::filesystem;
constexpr const char* program = "sdlm";
constexpr const char* kernel_directory = "/sys/kernel";

Error failure(const std::string& what, std::string& message) {
    const int error = errno;
    message = what + ": " + std::strerror(error);
    if (error == EPERM) message += "; only root can have mounts of its own";
    return Error{.code = Errc::io, .os_errno = error, .field = "mount"};
}

bool is_directory(const std::string& path) {
    std::error_code error;
    return files::is_directory(path, error);
}

// Our own build or installation, wherever it was moved to.
std::string find_libdlm() {
    std::error_code error;
    const files::path here = files::read_symlink("/proc/self/exe", error).parent_path();
    const files::path installed = SDLM_LIBDLM_DIRECTORY;
    for (const files::path& directory : {here / SDLM_LIBDLM_RELATIVE, here / "../../locks/libdlm", installed})
        if (files::exists(directory / "libdlm.so.3", error)) return directory.lexically_normal().string();
    return {};
}

Result<void> show_at(const std::string& from, const std::string& to, std::string& message) {
    if (::mount(from.c_str(), to.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0) return {};
    return failure("cannot show " + from + " at " + to, message);
}

// A directory of a file system that nobody can make entries in gets a new one: a tmpfs with all the old entries bound
// into it is built at `scratch` and moved over it.
Result<void> add_entry(const std::string& directory, const std::string& entry, const std::string& scratch,
                       std::string& message) {
    if (is_directory(directory + "/" + entry)) return {};
    if (::mount("sdlm", scratch.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") != 0)
        return failure("cannot mount a tmpfs on " + scratch, message);
    std::error_code error;
    for (files::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
        const std::string old = it->path().string();
        const std::string copy = scratch + "/" + it->path().filename().string();
        std::error_code ignored;
        if (it->is_symlink(ignored)) {
            files::copy_symlink(it->path(), copy, ignored);
            continue;
        }
        if (it->is_directory(ignored)) ::mkdir(copy.c_str(), 0755);
        else UniqueFd(::open(copy.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)).reset();
        if (auto bound = show_at(old, copy, message); !bound) return bound;
    }
    const std::string added = scratch + "/" + entry;
    if (::mkdir(added.c_str(), 0755) != 0) return failure("mkdir " + added, message);
    if (::mount(scratch.c_str(), directory.c_str(), nullptr, MS_MOVE, nullptr) != 0)
        return failure("cannot move a tmpfs over " + directory, message);
    return {};
}

Result<void> show(const std::string& run_dir, std::string& message) {
    if (::unshare(CLONE_NEWNS) != 0) return failure("unshare", message);
    // What the host mounts and unmounts later still comes here; nothing goes back.
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
        return failure("mount --make-rslave /", message);
    const std::string scratch = run_dir + "/scratch";
    if (::mkdir(scratch.c_str(), 0700) != 0 && errno != EEXIST) return failure("mkdir " + scratch, message);
    const std::string kernel = kernel_directory;
    for (const auto& [name, source] : {std::pair("config", "dlm"), std::pair("debug", "debug")}) {
        const std::string mount_point = kernel + "/" + name;
        if (auto done = add_entry(kernel, name, scratch, message); !done) return done;
        if (auto done = add_entry(mount_point, "dlm", scratch, message); !done) return done;
        if (auto done = show_at(run_dir + "/" + source, mount_point + "/dlm", message); !done) return done;
    }
    return {};
}

void prepend(const char* variable, const std::string& directory) {
    const char* old = std::getenv(variable);
    const std::string rest = old != nullptr && *old != '\0' ? std::string(":") + old : "";
    ::setenv(variable, (directory + rest).c_str(), 1);
}

}  // namespace

int with_dlm(const WithDlmOptions& options) {
    std::string message;
    const auto chosen = choose_run_dir(options.run_dir, run_root, message);
    if (!chosen) return failed(program, message);
    std::error_code error;
    const std::string run_dir = files::absolute(*chosen, error).lexically_normal().string();
    const std::string libdlm = options.libdlm.empty() ? find_libdlm() : options.libdlm;
    if (libdlm.empty() || !files::exists(libdlm + "/libdlm.so.3", error))
        return failed(program, "there is no libdlm.so.3 in " + (libdlm.empty() ? SDLM_LIBDLM_DIRECTORY : libdlm) +
                                   "; name its directory with --libdlm");
    auto client = ControlClient::connect(run_dir, message);
    if (!client || !client->call("refresh", {}, message)) return failed(program, message);
    if (!show(run_dir, message)) return failed(program, message);
    prepend("LD_LIBRARY_PATH", libdlm);
    ::setenv(run_dir_variable, run_dir.c_str(), 1);
    std::vector<char*> argv;
    argv.reserve(options.command.size() + 1);
    for (const std::string& word : options.command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    const int reason = errno;
    failed(program, options.command.front() + ": " + std::strerror(reason));
    return reason == ENOENT ? exit_no_command : exit_not_executable;
}

}  // namespace sdlm::tools
