// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/run_dirs.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

namespace sdlm::tools {

namespace {
bool has_socket(const std::filesystem::path& directory) {
    std::error_code error;
    return std::filesystem::is_socket(directory / "control.sock", error);
}
}  // namespace

std::vector<std::string> daemon_run_dirs(const std::string& root) {
    std::vector<std::string> found;
    std::error_code error;
    if (has_socket(root)) found.push_back(root);
    for (std::filesystem::directory_iterator it(root, error), end; !error && it != end; it.increment(error)) {
        if (has_socket(it->path())) found.push_back(it->path().string());
    }
    std::sort(found.begin(), found.end());
    return found;
}

Result<std::string> choose_run_dir(const std::string& option, const std::string& root, std::string& message) {
    if (!option.empty()) return option;
    const auto found = daemon_run_dirs(root);
    if (!found.empty() && found.front() == root) return root;
    if (found.size() == 1) return found.front();
    const std::string choose = std::string("name one with --run-dir DIR or $") + run_dir_variable;
    if (found.empty()) {
        message = "no node daemon was found (no control.sock in " + root + " or in a directory there); start one with "
                  "sdlm_hb_ctl -S, mount.dlmfs or sdlmd, or, if it has another run directory, " + choose;
        return Error{.code = Errc::not_found, .field = "run directory"};
    }
    message = "several node daemons run here; " + choose + ":";
    for (const std::string& directory : found) message += "\n  " + directory;
    return Error{.code = Errc::bad_argument, .field = "run directory"};
}

std::string default_run_dir(const Uuid& volume) { return std::string(run_root) + "/" + to_string(volume); }

Result<void> make_run_dir(const std::string& path, std::string& message) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (!error && std::filesystem::is_directory(path, error)) return {};
    message = "cannot make the run directory " + path + ": " +
              (error ? error.message() : std::string("something else has that name"));
    return Error{.code = Errc::io, .os_errno = error.value(), .field = "run directory"};
}

Result<RunDirLock> RunDirLock::take(const std::string& run_dir, std::string& message) {
    const std::string path = run_dir + "/tools.lock";
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) {
        int locked = 0;
        do {
            locked = ::flock(fd, LOCK_EX);
        } while (locked != 0 && errno == EINTR);
        if (locked == 0) return RunDirLock(fd);
    }
    const int error = errno;
    if (fd >= 0) ::close(fd);
    message = "cannot lock " + path + ": " + std::strerror(error);
    return Error{.code = Errc::io, .os_errno = error, .field = "tools.lock"};
}

RunDirLock::RunDirLock(RunDirLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

RunDirLock::~RunDirLock() {
    if (fd_ >= 0) ::close(fd_);
}

}  // namespace sdlm::tools
