// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/accept.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>

namespace sdlm::tools {

UniqueFd spare_descriptor() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

UniqueFd accept_connection(int listener, UniqueFd& spare) {
    UniqueFd fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd && (errno == EMFILE || errno == ENFILE)) {
        spare.reset();
        UniqueFd refused(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
        refused.reset();
        spare = spare_descriptor();
    }
    return fd;
}

}  // namespace sdlm::tools
