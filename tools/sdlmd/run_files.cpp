// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlmd/run_files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "tools/common/run_dirs.hpp"

namespace sdlm::tools {
namespace {

constexpr const char* lock_name = "sdlmd.lock";
constexpr const char* names[] = {"pid", "device", "uuid", "node", "state"};

std::string other_pid(const std::string& directory) {
    std::ifstream file(directory + "/pid");
    std::string pid;
    file >> pid;
    return pid.empty() ? "" : " (pid " + pid + ")";
}

}  // namespace

Result<RunFiles> RunFiles::claim(const std::string& directory, std::string& message) {
    if (auto made = make_run_dir(directory, message); !made) return made.error();
    const std::string path = directory + "/" + lock_name;
    UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock) {
        const int error = errno;
        message = "cannot open " + path + ": " + std::strerror(error) + "; choose another directory with --run-dir";
        return Error{Errc::io, error, 0, "run directory"};
    }
    int rc = -1;
    do rc = ::flock(lock.get(), LOCK_EX | LOCK_NB);
    while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        const int error = errno;
        message = directory + ": a daemon" + other_pid(directory) +
                  " runs with this run directory; for a second node on this host choose another one with --run-dir";
        if (error != EWOULDBLOCK) message = "cannot lock " + path + ": " + std::strerror(error);
        return Error{error == EWOULDBLOCK ? Errc::busy : Errc::io, error, 0, "run directory"};
    }
    for (const char* name : names) ::unlink((directory + "/" + name).c_str());
    return RunFiles(directory, std::move(lock));
}

RunFiles::~RunFiles() {
    if (!lock_) return;
    for (const char* name : names) {
        if (!state_kept_ || std::strcmp(name, "state") != 0) ::unlink((directory_ + "/" + name).c_str());
    }
}

Result<void> RunFiles::set(const char* name, const std::string& value) const {
    const std::string path = directory_ + "/" + name;
    const std::string part = path + ".new";
    const std::string content = value + "\n";
    const UniqueFd fd(::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd) return Error{Errc::io, errno, 0, name};
    const ssize_t written = ::write(fd.get(), content.data(), content.size());
    if (written != static_cast<ssize_t>(content.size())) return Error{Errc::io, written < 0 ? errno : ENOSPC, 0, name};
    if (std::rename(part.c_str(), path.c_str()) != 0) return Error{Errc::io, errno, 0, name};
    return {};
}

}  // namespace sdlm::tools
