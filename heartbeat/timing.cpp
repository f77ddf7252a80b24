// SPDX-License-Identifier: LGPL-2.1-or-later
#include "heartbeat/timing.hpp"

namespace sdlm::heartbeat {

Result<Timing> make_timing(std::uint32_t heartbeat_ms, std::uint32_t lease_ms, std::uint32_t io_timeout_ms) {
    if (lease_ms < limits::lease_ms_min || lease_ms > limits::lease_ms_max)
        return Error{.code = Errc::bad_field, .field = "lease_ms"};
    if (heartbeat_ms < limits::heartbeat_ms_min || heartbeat_ms > lease_ms / 4)
        return Error{.code = Errc::bad_field, .field = "heartbeat_ms"};
    if (io_timeout_ms < limits::io_timeout_ms_min || io_timeout_ms > lease_ms / 2)
        return Error{.code = Errc::bad_field, .field = "io_timeout_ms"};
    return Timing{milliseconds(heartbeat_ms), milliseconds(lease_ms), milliseconds(io_timeout_ms)};
}

}  // namespace sdlm::heartbeat
