// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/unix_address.hpp"

#include <fcntl.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace sdlm::tools {

Result<UnixAddress> unix_address(const std::string& path) {
    UnixAddress out;
    std::string name = path;
    if (name.size() >= sizeof out.address.sun_path) {
        const auto slash = name.rfind('/');
        const std::string parent = slash == std::string::npos ? "." : name.substr(0, slash + 1);
        out.directory = UniqueFd(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!out.directory) return Error{.code = Errc::io, .os_errno = errno, .field = "socket directory"};
        name = "/proc/self/fd/" + std::to_string(out.directory.get()) + "/" +
               (slash == std::string::npos ? path : path.substr(slash + 1));
        if (name.size() >= sizeof out.address.sun_path) {
            return Error{.code = Errc::too_large, .field = "socket name"};
        }
    }
    out.address.sun_family = AF_UNIX;
    std::memcpy(out.address.sun_path, name.c_str(), name.size() + 1);
    out.bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + 1);
    return out;
}

const sockaddr* generic(const UnixAddress& address) {
    return static_cast<const sockaddr*>(static_cast<const void*>(&address.address));
}

}  // namespace sdlm::tools
