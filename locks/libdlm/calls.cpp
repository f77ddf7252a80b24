// SPDX-License-Identifier: LGPL-2.1-or-later
#include "locks/libdlm/calls.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "locks/dlm/flags.hpp"

namespace sdlm::client {
namespace {

namespace lkf = dlm::lkf;

template <class T>
std::uint64_t cookie(T* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer);
}

// The buffer is looked at only when this very call says so: sb_lvbptr may be uninitialised otherwise.
template <class Request>
void take_lvb(Request& request, const struct dlm_lksb& lksb, bool contents) {
    if ((request.flags & lkf::valblk) == 0 || lksb.sb_lvbptr == nullptr) return;
    request.has_lvb = true;
    if (contents) std::memcpy(request.lvb.data(), lksb.sb_lvbptr, wire::lvb_bytes);
}

int submit(Handle& handle, const LockArguments& a, std::uint64_t ast) {
    wire::Lock request;
    a.lksb->sb_status = EINPROG;
    request.flags = a.flags & ~lkf::wait;
    const bool converts = (request.flags & lkf::convert) != 0;
    if (!converts && (a.name_bytes > wire::name_bytes_max || (a.name == nullptr && a.name_bytes > 0))) return EINVAL;
    request.mode = static_cast<std::uint8_t>(std::min(a.mode, 255U));
    request.cookies = {ast, cookie(a.argument), reinterpret_cast<std::uintptr_t>(a.bast), cookie(a.lksb)};
    request.xid = a.xid;
    if ((request.flags & lkf::timeout) != 0) request.timeout_cs = a.timeout_cs;
    take_lvb(request, *a.lksb, converts);
    if (converts) {
        request.id = a.lksb->sb_lkid;
        std::uint32_t same = 0;
        return handle.lock(request, same);
    }
    request.name = wire::Name::of({static_cast<const char*>(a.name), a.name_bytes});
    return handle.lock(request, a.lksb->sb_lkid);
}

// The handle through which this process made the lock, when it is not this one.
template <class Call>
int through_owner(Use& use, std::uint32_t id, const Call& call) {
    if (!use->knows(id))
        if (Use sibling = Use::of_sibling(*use, id)) return call(*sibling);
    return call(*use);
}

int submit_lock(Use& use, const LockArguments& a, std::uint64_t ast) {
    if ((a.flags & lkf::convert) == 0) return submit(*use, a, ast);
    return through_owner(use, a.lksb->sb_lkid, [&](Handle& handle) { return submit(handle, a, ast); });
}

struct Unlocking {
    std::uint32_t id;
    std::uint32_t flags;
    struct dlm_lksb* lksb;
    std::uint64_t ast;
    void* argument;
};

int submit_unlock(Handle& handle, const Unlocking& u, bool& completes) {
    wire::Unlock request{.id = u.id, .flags = u.flags, .ast = u.ast, .argument = cookie(u.argument)};
    if (u.lksb != nullptr) {
        u.lksb->sb_status = EINPROG;
        take_lvb(request, *u.lksb, true);
        request.lksb = cookie(u.lksb);
    }
    return handle.unlock(request, completes);
}

template <class Submit>
int complete(Handle& handle, struct dlm_lksb* lksb, const Submit& submit) {
    Waiter waiter;
    waiter.lksb = lksb;
    if (const int error = handle.start_waiting(waiter, next_number())) return error;
    int error = submit(waiter.ast);
    if (error == 0) error = handle.wait(waiter);
    handle.stop_waiting(waiter);
    return error == 0 ? finish_wait(lksb->sb_status) : error;
}

// The cancelled request keeps its own routine and lksb; this call ends when the cancel is decided.
int cancel_wait(Use& use, std::uint32_t id, std::uint32_t flags, struct dlm_lksb* lksb) {
    bool completes = false;
    lksb->sb_status = EINPROG;
    const int error = through_owner(use, id, [&](Handle& handle) {
        return submit_unlock(handle, {id, flags, nullptr, 0, nullptr}, completes);
    });
    if (error != 0) return error;
    // The request's own lksb: its completion comes through its own routine, or has come.
    if (lksb->sb_status == EINPROG) lksb->sb_status = completes ? dlm::status_cancel : 0;
    return finish_wait(lksb->sb_status);
}

}  // namespace

int result(int error) {
    if (error == 0) return 0;
    errno = error;
    return -1;
}

int lock(Use& use, const LockArguments& a) {
    if (!use) return ENOTCONN;
    if (a.lksb == nullptr) return EINVAL;
    if ((a.flags & lkf::wait) != 0) return lock_wait(use, a);
    const int error = submit_lock(use, a, reinterpret_cast<std::uintptr_t>(a.ast));
    // No callback follows an adoption.
    if (error == 0 && (a.flags & lkf::orphan) != 0 && (a.flags & lkf::convert) == 0) a.lksb->sb_status = 0;
    return error;
}

int lock_wait(Use& use, const LockArguments& a) {
    if (!use) return ENOTCONN;
    if (a.lksb == nullptr) return EINVAL;
    if ((a.flags & lkf::orphan) != 0 && (a.flags & lkf::convert) == 0) {
        const int error = submit_lock(use, a, waiter_bit | next_number());
        if (error == 0) a.lksb->sb_status = 0;
        return error == 0 ? finish_wait(0) : error;
    }
    const auto wait_through = [&](Handle& handle) {
        return complete(handle, a.lksb, [&](std::uint64_t ast) { return submit(handle, a, ast); });
    };
    if ((a.flags & lkf::convert) == 0) return wait_through(*use);
    return through_owner(use, a.lksb->sb_lkid, wait_through);
}

int unlock(Use& use, std::uint32_t id, std::uint32_t flags, struct dlm_lksb* lksb, void* argument) {
    if (!use) return ENOTCONN;
    if (lksb == nullptr) return EINVAL;
    bool completes = false;
    return through_owner(use, id, [&](Handle& handle) {
        return submit_unlock(handle, {id, flags, lksb, 0, argument}, completes);
    });
}

int unlock_wait(Use& use, std::uint32_t id, std::uint32_t flags, struct dlm_lksb* lksb) {
    if (!use) return ENOTCONN;
    if (lksb == nullptr) return EINVAL;
    if ((flags & lkf::cancel) != 0) return cancel_wait(use, id, flags, lksb);
    return through_owner(use, id, [&](Handle& handle) {
        return complete(handle, lksb, [&](std::uint64_t ast) {
            bool completes = false;
            const int error = submit_unlock(handle, {id, flags, lksb, ast, nullptr}, completes);
            return error != 0 || completes ? error : EINPROGRESS;
        });
    });
}

int deadlock_cancel(Use& use, std::uint32_t id, std::uint32_t flags) {
    if (!use) return ENOTCONN;
    return through_owner(use, id, [&](Handle& handle) {
        wire::Unlock request{.id = id, .flags = flags, .kind = wire::UnlockKind::deadlock_cancel};
        bool completes = false;
        return handle.unlock(request, completes);
    });
}

}  // namespace sdlm::client
