// SPDX-License-Identifier: LGPL-2.1-or-later
// The address of a Unix socket at any path: one that is too long for sockaddr_un is reached through a descriptor of
// its directory, which must stay open while the address is used.
#pragma once
#include <sys/socket.h>
#include <sys/un.h>

#include <string>

#include "disk/base/result.hpp"
#include "tools/common/unique_fd.hpp"

namespace sdlm::tools {

struct UnixAddress {
    sockaddr_un address{};
    socklen_t bytes = 0;
    UniqueFd directory;
};

// io with the errno of opening the directory; too_large when even the last part of the path does not fit.
Result<UnixAddress> unix_address(const std::string& path);

// bind, connect take a sockaddr; this is the one place that casts.
const sockaddr* generic(const UnixAddress& address);

}  // namespace sdlm::tools
