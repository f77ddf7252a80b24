// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fs/errno_map.hpp"

#include <cerrno>

namespace sdlm::fs {

int errno_of_join(Errc code) noexcept {
    switch (code) {
        case Errc::no_space: return ENOSPC;
        case Errc::exists:
        case Errc::busy: return EBUSY;      // a libdlm lockspace of this node has the name
        case Errc::io:
        case Errc::timeout: return EIO;
        default: return EINVAL;             // node not live, or a name that the volume cannot hold
    }
}

int errno_of_open(Errc code) noexcept {
    switch (code) {
        case Errc::no_space: return ENOSPC;
        case Errc::exists:
        case Errc::busy: return EBUSY;
        case Errc::too_large: return EINVAL;
        default: return EIO;
    }
}

int errno_of(locks::Refusal why) noexcept {
    switch (why) {
        case locks::Refusal::would_block: return ETXTBSY;
        case locks::Refusal::deadlock: return EDEADLK;
        case locks::Refusal::no_space: return ENOSPC;
    }
    return EIO;
}

}  // namespace sdlm::fs
