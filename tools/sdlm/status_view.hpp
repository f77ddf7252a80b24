// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once
#include <iosfwd>

#include <nlohmann/json.hpp>

namespace sdlm::tools {

enum class Detail { normal, verbose };

// `status` is the daemon's status with "peers" and "refs" inside.
void print_status(std::ostream& out, const nlohmann::json& status, Detail detail);

}  // namespace sdlm::tools
