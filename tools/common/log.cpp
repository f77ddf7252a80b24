// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/log.hpp"

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
    const std::string line = log_line(level, message, journal) + "\n";
    // One write per line: lines of several writers do not mix. A closed or full stderr must not stop the node.
    ssize_t written = -1;
    do written = ::write(STDERR_FILENO, line.data(), line.size());
    while (written < 0 && errno == EINTR);
}

}  // namespace sdlm::tools
