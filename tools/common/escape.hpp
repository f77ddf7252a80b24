// SPDX-License-Identifier: LGPL-2.1-or-later
// Names from the disk may hold any byte; a terminal and JSON get them in one readable, reversible form.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace sdlm::tools {

// Printable UTF-8 as it is; backslash as "\\"; control characters, invalid UTF-8 and characters that change the
// direction or the line of the text around them as "\xNN" per byte.
std::string escaped(std::string_view bytes);
// Inverse of escaped(); false when `text` is not of that form.
bool unescape(std::string_view text, std::string& out);
// Lower case, two digits per byte.
std::string hex(std::span<const std::byte> bytes);

}  // namespace sdlm::tools
