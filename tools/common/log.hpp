// SPDX-License-Identifier: LGPL-2.1-or-later
// One line per event on stderr. Under systemd (JOURNAL_STREAM set) each line starts with its priority, <3> and so on.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace sdlm::tools {

enum class LogLevel : std::uint8_t { error = 3, warning = 4, notice = 5, info = 6 };

// The line without its newline; control characters of `message` become '?', so that one event stays one line.
std::string log_line(LogLevel level, std::string_view message, bool with_priority);

void log(LogLevel level, std::string_view message);

}  // namespace sdlm::tools
