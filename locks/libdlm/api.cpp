// SPDX-License-Identifier: LGPL-2.1-or-later
// The C functions that both libraries have.
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <type_traits>

#include "locks/libdlm/calls.hpp"
#include "locks/libdlm/control.hpp"
#include "locks/libdlm/dispatch.hpp"
#include "locks/libdlm/libdlm.h"

namespace {

using namespace sdlm::client;

constexpr std::uint32_t version_major = 6, version_minor = 0, version_patch = 2;

void put_version(std::uint32_t* major, std::uint32_t* minor, std::uint32_t* patch) {
    if (major != nullptr) *major = version_major;
    if (minor != nullptr) *minor = version_minor;
    if (patch != nullptr) *patch = version_patch;
}

// No C++ exception but a thread's cancellation leaves the library.
template <class Call>
int guarded(const Call& call) {
    try {
        return result(call());
    } catch (const std::bad_alloc&) {
        return result(ENOMEM);
    }
}

template <class Call>
int on_default(const Call& call) {
    return guarded([&] {
        int error = 0;
        Use use = Use::of_default(error);
        return use ? call(use) : error;
    });
}

dlm_lshandle_t open_lockspace(const char* name) {
    Handle* handle = nullptr;
    const int error = guarded([&] { return Handle::open(name, handle); });
    if (error != 0) return nullptr;
    add_handle(handle);
    return handle;
}

// A descriptor whose handle this process does not know.
int dispatch_unknown(int fd) {
    sdlm::wire::CallbackPacket packet;
    for (;;) {
        if (const int error = receive_callbacks(fd, packet, Leave::no)) return error;
        sdlm::wire::Callback callback;
        for (std::size_t at = 0, taken = 0; at < packet.size; at += taken) {
            if (sdlm::wire::decode_first(packet.span().subspan(at), callback, taken) != nullptr) return EPROTO;
            deliver_to_program(callback);
        }
    }
}

int dispatch(int fd) {
    Use use = Use::of_fd(fd);
    int error = 0;
    while (error == 0) {
        if (!use) error = dispatch_unknown(fd);
        else error = use->dispatch_one();
    }
    return error == EAGAIN ? 0 : error;
}

}  // namespace

extern "C" {

int dlm_kernel_version(uint32_t* maj, uint32_t* min, uint32_t* patch) {
    const int rc = guarded([] { return ask_version(); });
    if (rc == 0) put_version(maj, min, patch);
    return rc;
}

void dlm_library_version(uint32_t* maj, uint32_t* min, uint32_t* patch) { put_version(maj, min, patch); }

dlm_lshandle_t dlm_new_lockspace(const char* name, mode_t mode, uint32_t flags) {
    const int error = guarded([&] {
        if (const int bad = check_lockspace_name(name)) return bad;
        return create_lockspace(name, mode, flags);
    });
    return error == 0 ? open_lockspace(name) : nullptr;
}

dlm_lshandle_t dlm_create_lockspace(const char* name, mode_t mode) { return dlm_new_lockspace(name, mode, 0); }

dlm_lshandle_t dlm_open_lockspace(const char* name) {
    if (result(check_lockspace_name(name)) != 0) return nullptr;
    return open_lockspace(name);
}

int dlm_close_lockspace(dlm_lshandle_t ls) {
    return guarded([&] {
        Use use(ls);
        if (!use) return EINVAL;
        close_lockspace(use);
        return 0;
    });
}

int dlm_release_lockspace(const char* name, dlm_lshandle_t ls, int force) {
    return guarded([&] {
        Use use(ls);
        if (!use || name == nullptr || use->name() != name) return EINVAL;
        const int error = release_lockspace(use, force != 0);
        if (error != EBUSY) return error;
        errno = EBUSY;                           // the handle is gone, the lockspace stays: told by errno alone
        return 0;
    });
}

int dlm_ls_get_fd(dlm_lshandle_t ls) {
    Use use(ls);
    if (use) return use->callbacks_fd();
    return result(ENOTCONN);
}

int dlm_get_fd(void) {
    int fd = -1;
    const int rc = on_default([&](Use& use) {
        fd = use->callbacks_fd();
        return 0;
    });
    return rc == 0 ? fd : -1;
}

int dlm_dispatch(int fd) {
    return guarded([&] { return dispatch(fd); });
}

int dlm_ls_lock(dlm_lshandle_t lockspace, uint32_t mode, struct dlm_lksb* lksb, uint32_t flags, const void* name,
                unsigned int namelen, uint32_t, void (*astaddr)(void*), void* astarg, void (*bastaddr)(void*),
                void* range) {
    return guarded([&] {
        if (range != nullptr) return ENOSYS;
        Use use(lockspace);
        return lock(use, {mode, lksb, flags, name, namelen, astaddr, astarg, bastaddr, 0, 0});
    });
}

int dlm_ls_lockx(dlm_lshandle_t lockspace, uint32_t mode, struct dlm_lksb* lksb, uint32_t flags, const void* name,
                 unsigned int namelen, uint32_t, void (*astaddr)(void*), void* astarg, void (*bastaddr)(void*),
                 uint64_t* xid, uint64_t* timeout) {
    return guarded([&] {
        const bool bounded = (flags & LKF_TIMEOUT) != 0 && timeout != nullptr;
        const std::uint64_t timeout_cs = bounded ? std::min<std::uint64_t>(*timeout, UINT32_MAX) : 0;
        Use use(lockspace);
        return lock(use, {mode, lksb, flags, name, namelen, astaddr, astarg, bastaddr, xid != nullptr ? *xid : 0,
                          static_cast<std::uint32_t>(timeout_cs)});
    });
}

int dlm_ls_lock_wait(dlm_lshandle_t lockspace, uint32_t mode, struct dlm_lksb* lksb, uint32_t flags, const void* name,
                     unsigned int namelen, uint32_t, void* bastarg, void (*bastaddr)(void*), void* range) {
    return guarded([&] {
        if (range != nullptr) return ENOSYS;
        Use use(lockspace);
        return lock_wait(use, {mode, lksb, flags, name, namelen, nullptr, bastarg, bastaddr, 0, 0});
    });
}

int dlm_ls_unlock(dlm_lshandle_t lockspace, uint32_t lkid, uint32_t flags, struct dlm_lksb* lksb, void* astarg) {
    return guarded([&] {
        Use use(lockspace);
        return unlock(use, lkid, flags, lksb, astarg);
    });
}

int dlm_ls_unlock_wait(dlm_lshandle_t lockspace, uint32_t lkid, uint32_t flags, struct dlm_lksb* lksb) {
    return guarded([&] {
        Use use(lockspace);
        return unlock_wait(use, lkid, flags, lksb);
    });
}

int dlm_ls_deadlock_cancel(dlm_lshandle_t ls, uint32_t lkid, uint32_t flags) {
    return guarded([&] {
        Use use(ls);
        return deadlock_cancel(use, lkid, flags);
    });
}

int dlm_ls_purge(dlm_lshandle_t lockspace, int nodeid, int pid) {
    return guarded([&] {
        Use use(lockspace);
        return use ? use->purge(nodeid, pid) : ENOTCONN;
    });
}

int dlm_lock(uint32_t mode, struct dlm_lksb* lksb, uint32_t flags, const void* name, unsigned int namelen, uint32_t,
             void (*astaddr)(void*), void* astarg, void (*bastaddr)(void*), void* range) {
    if (range != nullptr) return result(ENOSYS);
    return on_default(
        [&](Use& use) { return lock(use, {mode, lksb, flags, name, namelen, astaddr, astarg, bastaddr, 0, 0}); });
}

int dlm_lock_wait(uint32_t mode, struct dlm_lksb* lksb, uint32_t flags, const void* name, unsigned int namelen,
                  uint32_t, void* bastarg, void (*bastaddr)(void*), void* range) {
    if (range != nullptr) return result(ENOSYS);
    return on_default([&](Use& use) {
        return lock_wait(use, {mode, lksb, flags, name, namelen, nullptr, bastarg, bastaddr, 0, 0});
    });
}

int dlm_unlock(uint32_t lkid, uint32_t flags, struct dlm_lksb* lksb, void* astarg) {
    return on_default([&](Use& use) { return unlock(use, lkid, flags, lksb, astarg); });
}

int dlm_unlock_wait(uint32_t lkid, uint32_t flags, struct dlm_lksb* lksb) {
    return on_default([&](Use& use) { return unlock_wait(use, lkid, flags, lksb); });
}

}  // extern "C"
