// SPDX-License-Identifier: LGPL-2.1-or-later
// Bytes as text: "0010  00 01 .. 0f  |................|" per 16 bytes; a row of zeros only is left out, unless it is
// the first or the last.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace sdlm::test {

std::string to_hex_image(std::span<const std::byte> bytes);
// False when `text` is not such an image; rows that are left out are zeros.
bool from_hex_image(const std::string& text, std::vector<std::byte>& bytes);

}  // namespace sdlm::test
