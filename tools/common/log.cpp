// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/log.hpp"

#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace sdlm::tools {

std::string log_line(LogLevel level, std::string_view message, bool with_priority) {
    std::string line;
    if (with_priority) line = "<" + std::to_string(static_cast<int>(level)) + ">";
    else line = "sdlmd: ";
    if (!with_priority && level == LogLevel::error) line += "error: ";
    if (!with_priority && level == LogLevel::warning) line += "warning: ";
    for (const char c : message) {
        const auto byte = static_cast<unsigned char>(c);
        line += byte < 0x20 || byte == 0x7f ? '?' : c;
    }
    return line;
}

void log(LogLevel level, std::string_view message) {
    static const bool journal = std::getenv("JOURNAL_STREAM") != nullptr;
    static std::size_t lost = 0;
    // One write per line: lines of several writers do not mix. A closed stderr must not stop the node, nor a full one:
    // whoever does not read loses lines, and is told how many. A pipe that is writable takes PIPE_BUF bytes.
    pollfd room{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&room, 1, 0) != 1) {
        ++lost;
        return;
    }
    std::string line = log_line(level, message, journal).substr(0, PIPE_BUF - 1) + "\n";
    if (lost > 0) {
        const std::string gap = log_line(LogLevel::warning, std::to_string(lost) + " lines could not be written here", journal) + "\n";
        if (gap.size() + line.size() <= PIPE_BUF) {
            line.insert(0, gap);
            lost = 0;
        }
    }
    ssize_t written = -1;
    do written = ::write(STDERR_FILENO, line.data(), line.size());
    while (written < 0 && errno == EINTR);
}

}  // namespace sdlm::tools
