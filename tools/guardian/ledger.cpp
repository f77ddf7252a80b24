// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/guardian/ledger.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "tools/common/unique_fd.hpp"

namespace sdlm::tools {

namespace {

std::string read_small(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return {};
    std::array<char, 4096> buffer;
    const ssize_t bytes = ::read(fd.get(), buffer.data(), buffer.size());
    return bytes > 0 ? std::string(buffer.data(), static_cast<std::size_t>(bytes)) : std::string();
}

}  // namespace

std::uint64_t process_start(pid_t thread, pid_t& process) {
    process = thread;
    const std::string status = read_small("/proc/" + std::to_string(thread) + "/status");
    if (const std::size_t at = status.find("\nTgid:"); at != std::string::npos)
        process = static_cast<pid_t>(std::strtol(status.c_str() + at + 6, nullptr, 10));
    const std::string stat = read_small("/proc/" + std::to_string(process) + "/stat");
    // Field 22; the second one is a name in parentheses that may hold anything.
    std::size_t at = stat.rfind(')');
    if (at == std::string::npos) return 0;
    for (int field = 2; field < 22; ++field) {
        at = stat.find(' ', at + 1);
        if (at == std::string::npos) return 0;
    }
    return std::strtoull(stat.c_str() + at + 1, nullptr, 10);
}

}  // namespace sdlm::tools
