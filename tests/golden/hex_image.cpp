// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/golden/hex_image.hpp"

#include <algorithm>
#include <cstdio>
#include <sstream>

namespace sdlm::test {

namespace {
constexpr std::size_t row_bytes = 16;

std::string row_text(std::size_t at, std::span<const std::byte> row) {
    char part[24];
    std::snprintf(part, sizeof part, "%04zx ", at);
    std::string out = part;
    std::string readable;
    for (const std::byte b : row) {
        const auto value = static_cast<unsigned>(b);
        std::snprintf(part, sizeof part, " %02x", value);
        out += part;
        readable += value >= 0x20 && value < 0x7f ? static_cast<char>(value) : '.';
    }
    out.append((row_bytes - row.size()) * 3, ' ');
    return out + "  |" + readable + "|\n";
}
}  // namespace

std::string to_hex_image(std::span<const std::byte> bytes) {
    std::string out;
    for (std::size_t at = 0; at < bytes.size(); at += row_bytes) {
        const auto row = bytes.subspan(at, std::min(row_bytes, bytes.size() - at));
        const bool zeros = std::all_of(row.begin(), row.end(), [](std::byte b) { return b == std::byte{0}; });
        const bool edge = at == 0 || at + row_bytes >= bytes.size();
        if (!zeros || edge) out += row_text(at, row);
    }
    return out;
}

bool from_hex_image(const std::string& text, std::vector<std::byte>& bytes) {
    bytes.clear();
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream in(line.substr(0, line.find('|')));
        std::size_t at = 0;
        if (!(in >> std::hex >> at) || at < bytes.size() || at % row_bytes != 0) return false;
        bytes.resize(at);
        for (unsigned value = 0; in >> std::hex >> value;) {
            if (value > 0xff) return false;
            bytes.push_back(static_cast<std::byte>(value));
        }
        if (!in.eof()) return false;
    }
    return true;
}

}  // namespace sdlm::test
