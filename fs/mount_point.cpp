// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fs/mount_point.hpp"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

namespace sdlm::fs {

namespace {

// mountinfo writes blank, tab, newline and backslash as \ooo.
std::string unescaped(const std::string& text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool escape = text[i] == '\\' && i + 3 < text.size();
        out += escape ? static_cast<char>(std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8)) : text[i];
        if (escape) i += 3;
    }
    return out;
}

// Type of the file system mounted last on `path`, or empty.
std::string mounted_type(const std::string& path) {
    std::ifstream table("/proc/self/mountinfo");
    std::string line;
    std::string found;
    while (std::getline(table, line)) {
        std::istringstream fields(line);
        std::string field;
        std::string point;
        for (int i = 0; i < 5 && fields >> field; ++i) point = field;
        if (unescaped(point) != path) continue;
        while (fields >> field && field != "-") {
        }
        fields >> found;
    }
    return found;
}

}  // namespace

Result<std::string> usable_mount_point(const std::string& path, std::string& message) {
    std::string trimmed = path;
    while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
    const std::size_t slash = trimmed.rfind('/');
    const std::string parent = slash == std::string::npos ? "." : trimmed.substr(0, slash + 1);
    const std::string last = slash == std::string::npos ? trimmed : trimmed.substr(slash + 1);
    std::array<char, PATH_MAX> resolved{};
    if (last.empty() || last == "." || last == ".." || ::realpath(parent.c_str(), resolved.data()) == nullptr) {
        const int error = last.empty() || last == "." || last == ".." ? EINVAL : errno;
        message = path + ": not usable as a mount directory: " + std::strerror(error) +
                  "; give the path of an existing directory";
        return Error{Errc::bad_argument, error, 0, "mount"};
    }
    std::string point = resolved.data();
    if (point.back() != '/') point += '/';
    point += last;
    if (mounted_type(point).starts_with("fuse")) {
        message = point + ": a FUSE file system is mounted here already (a running daemon's, or left behind by a "
                          "killed one); use another directory, or end it with: umount -l " + point;
        return Error{Errc::busy, EBUSY, 0, "mount"};
    }
    struct stat status {};
    if (::stat(point.c_str(), &status) != 0) {
        const int error = errno;
        message = point + ": " + std::strerror(error) + "; create the mount directory first: mkdir -p " + point;
        return Error{error == ENOENT ? Errc::not_found : Errc::io, error, 0, "mount"};
    }
    if (!S_ISDIR(status.st_mode)) {
        message = point + ": not a directory; a dlmfs is mounted on a directory";
        return Error{Errc::bad_argument, ENOTDIR, 0, "mount"};
    }
    return point;
}

}  // namespace sdlm::fs
