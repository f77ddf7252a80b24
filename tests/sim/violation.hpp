// SPDX-License-Identifier: LGPL-2.1-or-later
// A broken invariant found by a checker: ends the seed.
#pragma once
#include <stdexcept>
#include <string>

namespace sdlm::sim {

class Violation : public std::runtime_error {
public:
    explicit Violation(const std::string& what) : std::runtime_error(what) {}
};

}  // namespace sdlm::sim
