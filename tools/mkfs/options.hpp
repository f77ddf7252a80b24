// SPDX-License-Identifier: LGPL-2.1-or-later
// The command line of mkfs.sdlm.
#pragma once
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "disk/base/ids.hpp"
#include "disk/base/limits.hpp"

namespace sdlm::tools::mkfs {

struct Options {
    std::string device;
    std::string label;
    std::uint32_t slot_count = limits::slots_default;
    std::optional<std::uint32_t> block_bytes;     // default: the device's logical block
    std::optional<Uuid> uuid;                     // default: random
    std::optional<std::uint64_t> area_bytes;      // as given, not rounded
    std::optional<std::uint32_t> heartbeat_ms;
    std::optional<std::uint32_t> lease_ms;
    std::optional<std::uint32_t> io_timeout_ms;
    bool force = false;
};

// nullopt: nothing is left to do but to exit with `exit_code` (help, version, usage error; all printed already).
std::optional<Options> parse_options(int argc, const char* const* argv, std::ostream& out, std::ostream& err,
                                     int& exit_code);

// "64k", "8M", "1G" or plain bytes; nullopt for anything else and for more than 2^63 bytes.
std::optional<std::uint64_t> parse_bytes(std::string_view text);

}  // namespace sdlm::tools::mkfs
