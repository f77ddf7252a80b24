// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once
#include <cstdint>
#include <string_view>

namespace sdlm::tools {

// What happens to programs that hold locks when their node may hold them no longer.
enum class ClientPolicy : std::uint8_t {
    notify,      // they are told: errors, POLLERR, the end of their sockets
    kill,        // ... and SIGTERM, then SIGKILL after Timing::told()
    reset,       // ... and what does not end is ended by the watchdog, with the whole host
};
const char* text(ClientPolicy policy) noexcept;
bool parse(std::string_view word, ClientPolicy& out) noexcept;

}  // namespace sdlm::tools
