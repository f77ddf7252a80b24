// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/base/ids.hpp"

namespace sdlm {

namespace {
constexpr bool dash_at(std::size_t i) { return i == 8 || i == 13 || i == 18 || i == 23; }
int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}
}  // namespace

std::string to_string(const Uuid& uuid) {
    static const char digits[] = "0123456789abcdef";
    std::string out;
    out.reserve(36);
    for (std::uint8_t byte : uuid.bytes) {
        if (dash_at(out.size())) out += '-';
        out += digits[byte >> 4];
        out += digits[byte & 15];
    }
    return out;
}

bool parse_uuid(std::string_view text, Uuid& out) {
    if (text.size() != 36) return false;
    std::size_t nibble = 0;
    Uuid parsed;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (dash_at(i)) {
            if (text[i] != '-') return false;
            continue;
        }
        const int value = hex_value(text[i]);
        if (value < 0) return false;
        auto& byte = parsed.bytes[nibble / 2];
        byte = static_cast<std::uint8_t>((byte << 4) | value);
        ++nibble;
    }
    out = parsed;
    return true;
}

}  // namespace sdlm
