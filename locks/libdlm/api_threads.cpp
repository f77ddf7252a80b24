// SPDX-License-Identifier: LGPL-2.1-or-later
// The C functions of libdlm that libdlm_lt lacks.
#include <cerrno>
#include <cstring>
#include <new>

#include "locks/libdlm/calls.hpp"
#include "locks/libdlm/control.hpp"

#ifndef _REENTRANT
#define _REENTRANT
#endif
#include "locks/libdlm/libdlm.h"

namespace {

using namespace sdlm::client;

// A thread that cannot be started is told by the positive error number itself.
int start(Use& use) {
    const int error = use->start_thread();
    return error == EEXIST ? result(error) : error;
}

}  // namespace

extern "C" {

int dlm_pthread_init(void) {
    try {
        int error = 0;
        Use use = Use::of_default(error);
        return use ? start(use) : result(error);
    } catch (const std::bad_alloc&) {
        return result(ENOMEM);
    }
}

int dlm_ls_pthread_init(dlm_lshandle_t lockspace) {
    Use use(lockspace);
    return use ? start(use) : result(ENOTCONN);
}

int dlm_pthread_cleanup(void) {
    try {
        Use use = Use::of_open_default();
        if (use) close_lockspace(use);
        return 0;
    } catch (const std::bad_alloc&) {
        return result(ENOMEM);
    }
}

int lock_resource(const char* resource, int mode, int flags, int* lockid) {
    if (resource == nullptr || lockid == nullptr) return result(EINVAL);
    const int started = dlm_pthread_init();
    if (started > 0) return result(started);
    if (started < 0 && errno != EEXIST) return -1;
    struct dlm_lksb lksb {};
    lksb.sb_lkid = static_cast<std::uint32_t>(*lockid);
    const auto call_flags = static_cast<std::uint32_t>(flags);
    const int rc = dlm_lock_wait(static_cast<std::uint32_t>(mode), &lksb, call_flags, resource,
                                 static_cast<unsigned>(std::strlen(resource)), 0, nullptr, nullptr, nullptr);
    if (rc != 0) return -1;
    *lockid = static_cast<int>(lksb.sb_lkid);
    errno = lksb.sb_status;
    return lksb.sb_status == 0 ? 0 : -1;
}

int unlock_resource(int lockid) {
    {
        Use use = Use::of_open_default();
        if (!use) {
            errno = -ENOTCONN;                   // negative, as programs have always seen it
            return -1;
        }
    }
    struct dlm_lksb lksb {};
    if (dlm_unlock_wait(static_cast<std::uint32_t>(lockid), 0, &lksb) != 0) return -1;
    errno = lksb.sb_status;
    return lksb.sb_status == EUNLOCK ? 0 : -1;
}

}  // extern "C"
