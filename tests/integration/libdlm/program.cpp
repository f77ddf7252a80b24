// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/integration/libdlm/program.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

namespace sdlm {

Signal::Signal() {
    if (::pipe(ends_) != 0) throw std::runtime_error("pipe");
}

Signal::~Signal() {
    ::close(ends_[0]);
    ::close(ends_[1]);
}

void Signal::give() const {
    const char byte = 0;
    if (::write(ends_[1], &byte, 1) != 1) throw std::runtime_error("write");
}

bool Signal::take(int timeout_ms) const {
    pollfd fd{ends_[0], POLLIN, 0};
    char byte = 0;
    return ::poll(&fd, 1, timeout_ms) == 1 && ::read(ends_[0], &byte, 1) == 1;
}

}  // namespace sdlm
