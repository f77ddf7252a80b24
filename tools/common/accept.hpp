// SPDX-License-Identifier: LGPL-2.1-or-later
// Accepting on a listening socket of a daemon that must not spin when its descriptors have run out.
#pragma once
#include "tools/common/unique_fd.hpp"

namespace sdlm::tools {

// Kept open to be given up in that case.
UniqueFd spare_descriptor();
// The next connection, close-on-exec and non-blocking; empty when there is none. When descriptors have run out, one
// connection is accepted with the spare one's place and closed, so that the listener does not stay readable for ever.
UniqueFd accept_connection(int listener, UniqueFd& spare);

}  // namespace sdlm::tools
