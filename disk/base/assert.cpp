// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace sdlm {
void assert_failed(const char* condition, const char* file, int line) noexcept {
    std::fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, condition);
    std::abort();
}
}  // namespace sdlm
