// SPDX-License-Identifier: LGPL-2.1-or-later
// A non-blocking eventfd as a bell between two processes.
#pragma once
#include <unistd.h>

#include <cstdint>

namespace sdlm::tools {

inline void ring(int event) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(event, &one, sizeof one);
}

inline void drain(int event) {
    std::uint64_t count = 0;
    while (::read(event, &count, sizeof count) == static_cast<ssize_t>(sizeof count)) {
    }
}

}  // namespace sdlm::tools
