// SPDX-License-Identifier: LGPL-2.1-or-later
// Fail-stop: a broken invariant ends the process in every build type. A node that stops is fenced by its lease;
// a node that goes on with a broken invariant corrupts a volume.
#pragma once

namespace sdlm {
[[noreturn]] void assert_failed(const char* condition, const char* file, int line) noexcept;
}

#define SDLM_ASSERT(cond) \
    (__builtin_expect(!!(cond), 1) ? void(0) : ::sdlm::assert_failed(#cond, __FILE__, __LINE__))
#define SDLM_UNREACHABLE() ::sdlm::assert_failed("unreachable", __FILE__, __LINE__)
