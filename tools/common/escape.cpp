// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/escape.hpp"

#include <cstdint>

namespace sdlm::tools {
namespace {

constexpr std::string_view digits = "0123456789abcdef";

struct CodePoint {
    std::uint32_t value = 0;
    std::size_t bytes = 0;       // 0: not valid UTF-8 here
};

CodePoint decode(std::string_view s) {
    const auto at = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(s[i])); };
    const std::uint32_t first = at(0);
    if (first < 0x80) return {first, 1};
    std::size_t length = 0;
    std::uint32_t value = 0;
    std::uint32_t least = 0;     // shorter forms of a code point are invalid
    if ((first & 0xe0U) == 0xc0) length = 2, value = first & 0x1fU, least = 0x80;
    else if ((first & 0xf0U) == 0xe0) length = 3, value = first & 0x0fU, least = 0x800;
    else if ((first & 0xf8U) == 0xf0) length = 4, value = first & 0x07U, least = 0x10000;
    else return {};
    if (s.size() < length) return {};
    for (std::size_t i = 1; i < length; ++i) {
        if ((at(i) & 0xc0U) != 0x80) return {};
        value = value << 6 | (at(i) & 0x3fU);
    }
    if (value < least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return {};
    return {value, length};
}

bool printable(std::uint32_t c) {
    if (c < 0x20 || (c >= 0x7f && c < 0xa0)) return false;
    if (c >= 0x200b && c <= 0x200f) return false;      // zero width, direction marks
    if (c >= 0x2028 && c <= 0x202e) return false;      // line and paragraph separators, direction overrides
    if (c >= 0x2060 && c <= 0x206f) return false;      // invisible operators, isolates
    return c != 0xfeff && (c & 0xfffe) != 0xfffe;
}

int digit(char c) {
    const auto at = digits.find(c);
    return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

}  // namespace

std::string escaped(std::string_view bytes) {
    std::string out;
    out.reserve(bytes.size());
    while (!bytes.empty()) {
        const CodePoint c = decode(bytes);
        const std::size_t length = c.bytes == 0 ? 1 : c.bytes;
        if (c.value == '\\') {
            out += "\\\\";
        } else if (c.bytes != 0 && printable(c.value)) {
            out += bytes.substr(0, length);
        } else {
            for (const char byte : bytes.substr(0, length)) {
                const auto value = static_cast<unsigned char>(byte);
                out += "\\x";
                out += digits[value >> 4U];
                out += digits[value & 15U];
            }
        }
        bytes.remove_prefix(length);
    }
    return out;
}

bool unescape(std::string_view text, std::string& out) {
    out.clear();
    while (!text.empty()) {
        if (text[0] != '\\') {
            out += text[0];
            text.remove_prefix(1);
        } else if (text.size() >= 2 && text[1] == '\\') {
            out += '\\';
            text.remove_prefix(2);
        } else {
            if (text.size() < 4 || text[1] != 'x') return false;
            const int high = digit(text[2]);
            const int low = digit(text[3]);
            if (high < 0 || low < 0) return false;
            out += static_cast<char>(high * 16 + low);
            text.remove_prefix(4);
        }
    }
    return true;
}

std::string hex(std::span<const std::byte> bytes) {
    std::string out;
    out.reserve(bytes.size() * 2);
    for (const std::byte byte : bytes) {
        const auto value = std::to_integer<unsigned>(byte);
        out += digits[value >> 4U];
        out += digits[value & 15U];
    }
    return out;
}

}  // namespace sdlm::tools
