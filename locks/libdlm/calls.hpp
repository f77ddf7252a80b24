// SPDX-License-Identifier: LGPL-2.1-or-later
// The lock calls behind the C functions, asynchronous and waiting. Each returns 0 or a positive errno.
#pragma once
#include <cstdint>

#include "locks/libdlm/registry.hpp"

namespace sdlm::client {

// What the waiting calls tell: a failed lock is a success of the call in libdlm, not in libdlm_lt (see flavour_*.cpp).
int finish_wait(int status);

struct LockArguments {
    std::uint32_t mode = 0;
    struct dlm_lksb* lksb = nullptr;
    std::uint32_t flags = 0;
    const void* name = nullptr;
    unsigned name_bytes = 0;
    void (*ast)(void*) = nullptr;
    void* argument = nullptr;
    void (*bast)(void*) = nullptr;
    std::uint64_t xid = 0;
    std::uint32_t timeout_cs = 0;
};

int lock(Use& use, const LockArguments& arguments);
// Until it has completed; the status is in the lksb. `ast` is not called.
int lock_wait(Use& use, const LockArguments& arguments);
int unlock(Use& use, std::uint32_t id, std::uint32_t flags, struct dlm_lksb* lksb, void* argument);
int unlock_wait(Use& use, std::uint32_t id, std::uint32_t flags, struct dlm_lksb* lksb);
int deadlock_cancel(Use& use, std::uint32_t id, std::uint32_t flags);

// -1 with errno set, or 0.
int result(int error);

}  // namespace sdlm::client
