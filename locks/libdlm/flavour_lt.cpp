// SPDX-License-Identifier: LGPL-2.1-or-later
// libdlm_lt: errno gets the status of the lock, also EUNLOCK, and anything but success and EUNLOCK is a failure.
#include <cerrno>

#include "locks/dlm/flags.hpp"
#include "locks/libdlm/calls.hpp"

namespace sdlm::client {
int finish_wait(int status) {
    errno = status;
    return status == dlm::status_unlock ? 0 : status;
}
}  // namespace sdlm::client
