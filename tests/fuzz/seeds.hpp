// SPDX-License-Identifier: LGPL-2.1-or-later
// The inputs that a target starts from: files and folders. NAME.hex is a hex image as in tests/golden, anything else is
// taken as it is. "golden:FILE" is a block without a byte of switches: it becomes two inputs, as it is and sealed.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace sdlm::fuzz {

struct Seed {
    std::string name;
    std::vector<std::byte> bytes;
};

// Throws std::runtime_error with a sentence when one cannot be read, or when there is none.
std::vector<Seed> load_seeds(const std::vector<std::string>& places);

}  // namespace sdlm::fuzz
