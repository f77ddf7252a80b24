// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/mkfs/mounts.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace sdlm::tools::mkfs {

namespace {

namespace stdfs = std::filesystem;

// mountinfo writes space, tab, newline and backslash as \ooo.
std::string unescape_octal(const std::string& text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto octal = [&](std::size_t k) { return text[i + k] >= '0' && text[i + k] <= '7'; };
        if (text[i] != '\\' || i + 3 >= text.size() || !octal(1) || !octal(2) || !octal(3)) {
            out += text[i];
            continue;
        }
        out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
        i += 3;
    }
    return out;
}

struct Mount {
    std::string device_number;      // "8:1"
    std::string directory;
    std::string source;
};

// see proc(5): "36 35 98:0 /root /mnt opts [optional fields] - type source super-opts"
bool parse_mount(const std::string& line, Mount& mount) {
    std::istringstream in(line);
    std::string skip;
    if (!(in >> skip >> skip >> mount.device_number >> skip >> mount.directory)) return false;
    while (in >> skip && skip != "-") {}
    if (!(in >> skip >> mount.source)) return false;
    mount.directory = unescape_octal(mount.directory);
    mount.source = unescape_octal(mount.source);
    return true;
}

std::string canonical(const std::string& path) {
    std::error_code failed;
    const auto out = stdfs::canonical(path, failed);
    return failed ? path : out.string();
}

std::string first_line(const stdfs::path& path) {
    std::ifstream in(path);
    std::string line;
    std::getline(in, line);
    return line;
}

// Device numbers of the loop devices over an image file.
std::vector<std::string> loops_over(const std::string& file) {
    std::vector<std::string> out;
    std::error_code failed;
    for (stdfs::directory_iterator it("/sys/block", failed), end; !failed && it != end; it.increment(failed))
        if (first_line(it->path() / "loop" / "backing_file") == file) out.push_back(first_line(it->path() / "dev"));
    return out;
}

}  // namespace

std::string mounted_problem(const std::string& device, const std::string& mountinfo) {
    struct stat status {};
    if (::stat(device.c_str(), &status) != 0) return {};        // opening it will tell
    const std::string path = canonical(device);
    std::vector<std::string> numbers;
    if (S_ISBLK(status.st_mode))
        numbers.push_back(std::to_string(major(status.st_rdev)) + ":" + std::to_string(minor(status.st_rdev)));
    else
        numbers = loops_over(path);

    std::ifstream in(mountinfo);
    if (!in) return "cannot read " + mountinfo + ", so it is unknown whether the device is mounted; is /proc mounted?";
    std::string line;
    while (std::getline(in, line)) {
        Mount mount;
        if (!parse_mount(line, mount)) continue;
        const bool same_number = std::find(numbers.begin(), numbers.end(), mount.device_number) != numbers.end();
        const bool same_path = !mount.source.empty() && mount.source[0] == '/' && canonical(mount.source) == path;
        if (same_number || same_path) return "is mounted on " + mount.directory + "; unmount it first";
    }
    return {};
}

}  // namespace sdlm::tools::mkfs
