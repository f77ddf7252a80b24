// SPDX-License-Identifier: LGPL-2.1-or-later
// mkfs.sdlm as a function. Nothing is written before every check has passed; the new superblock is written last.
#pragma once
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>

#include "disk/base/ids.hpp"
#include "disk/base/instant.hpp"

namespace sdlm::tools::mkfs {

inline constexpr int exit_ok = 0;
inline constexpr int exit_failed = 1;
inline constexpr int exit_usage = 2;

// What mkfs takes from its surroundings; tests put their own there.
struct Environment {
    std::function<Instant()> now;
    std::function<void(Duration)> sleep;
    std::function<Uuid()> random_uuid;
    std::uint64_t unix_time = 0;             // seconds since 1970
    std::string mountinfo_path;
};
Environment system_environment();

int run(int argc, const char* const* argv, std::ostream& out, std::ostream& err, const Environment& environment);

}  // namespace sdlm::tools::mkfs
