// SPDX-License-Identifier: LGPL-2.1-or-later
// A domain without a dlmfs: a lockspace of libdlm. libdlm_lt.so.3 is looked for when it is needed, so a program that
// gives a path never needs it. Values have 32 bytes, there are no BASTs.
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "fs/libo2dlm/context.h"

static errcode_t load(struct sdlm_o2dlm_library *library)
{
    library->handle = dlopen("libdlm_lt.so.3", RTLD_NOW | RTLD_LOCAL);
    if (library->handle == NULL) return O2DLM_ET_INTERNAL_FAILURE;
    library->create = (__typeof__(library->create))dlsym(library->handle, "dlm_create_lockspace");
    library->release = (__typeof__(library->release))dlsym(library->handle, "dlm_release_lockspace");
    library->lock_wait = (__typeof__(library->lock_wait))dlsym(library->handle, "dlm_ls_lock_wait");
    library->unlock_wait = (__typeof__(library->unlock_wait))dlsym(library->handle, "dlm_ls_unlock_wait");
    const int complete = library->create != NULL && library->release != NULL && library->lock_wait != NULL &&
                         library->unlock_wait != NULL;
    if (complete) return 0;
    dlclose(library->handle);
    library->handle = NULL;
    return O2DLM_ET_INTERNAL_FAILURE;
}

static errcode_t join_lockspace(struct o2dlm_ctxt *ctxt)
{
    const errcode_t code = load(&ctxt->library);
    if (code != 0) return code;
    ctxt->lockspace = ctxt->library.create(ctxt->domain, 0600);
    if (ctxt->lockspace != NULL) return 0;
    const int cause = errno;
    dlclose(ctxt->library.handle);
    errno = cause;
    switch (cause) {
        case EINVAL: return O2DLM_ET_INVALID_ARGS;
        case ENOMEM: return O2DLM_ET_NO_MEMORY;
        case EACCES:
        case EPERM: return O2DLM_ET_BAD_DOMAIN_DIR;
        case EEXIST: return O2DLM_ET_DOMAIN_BUSY;
        default: return O2DLM_ET_INTERNAL_FAILURE;
    }
}

static errcode_t leave_lockspace(struct o2dlm_ctxt *ctxt)
{
    // EBUSY: others on this node use it still.
    const int result = ctxt->library.release(ctxt->domain, ctxt->lockspace, 0);
    const int cause = errno;
    dlclose(ctxt->library.handle);
    errno = cause;
    return result == 0 || cause == EBUSY ? 0 : O2DLM_ET_DOMAIN_DESTROY;
}

static errcode_t lock_resource_of(struct o2dlm_ctxt *ctxt, struct sdlm_o2dlm_lock *lock)
{
    const unsigned int mode = lock->level == O2DLM_LEVEL_EXMODE ? LKM_EXMODE : LKM_PRMODE;
    const unsigned int flags = LKF_VALBLK | (lock->trylock ? LKF_NOQUEUE : 0);
    lock->lksb.sb_lvbptr = lock->value;
    const unsigned int name_bytes = (unsigned int)strlen(lock->name);
    const int result = ctxt->library.lock_wait(ctxt->lockspace, mode, &lock->lksb, flags, lock->name, name_bytes, 0, NULL,
                                               NULL, NULL);
    const int cause = result != 0 ? errno : lock->lksb.sb_status;
    if (cause == 0) return 0;
    errno = cause;
    switch (cause) {
        case EAGAIN: return lock->trylock ? O2DLM_ET_TRYLOCK_FAILED : O2DLM_ET_LOCKING;
        case EINVAL: return O2DLM_ET_INVALID_ARGS;
        case ENOMEM: return O2DLM_ET_NO_MEMORY;
        default: return O2DLM_ET_INTERNAL_FAILURE;
    }
}

static errcode_t unlock_resource_of(struct o2dlm_ctxt *ctxt, struct sdlm_o2dlm_lock *lock)
{
    // Only a value that was written goes back: to store an old one would call a value valid that is not.
    const unsigned int flags = lock->value_written ? LKF_VALBLK : 0;
    lock->lksb.sb_lvbptr = lock->value;
    const int result = ctxt->library.unlock_wait(ctxt->lockspace, lock->lksb.sb_lkid, flags, &lock->lksb);
    if (result != 0) return O2DLM_ET_INTERNAL_FAILURE;
    return lock->lksb.sb_status == EUNLOCK || lock->lksb.sb_status == 0 ? 0 : O2DLM_ET_INTERNAL_FAILURE;
}

static errcode_t drop_nothing(struct o2dlm_ctxt *ctxt, const char *name)
{
    (void)ctxt;
    (void)name;
    return O2DLM_ET_SERVICE_UNAVAILABLE;            // a lockspace forgets what nobody holds by itself
}

static errcode_t read_copy(struct sdlm_o2dlm_lock *lock, char *lvb, unsigned int len, unsigned int *bytes)
{
    if (!lock->value_written && (lock->lksb.sb_flags & DLM_SBF_VALNOTVALID) != 0) return O2DLM_ET_LVB_INVALID;
    *bytes = len < DLM_LVB_LEN ? len : DLM_LVB_LEN;
    memcpy(lvb, lock->value, *bytes);
    return 0;
}

static errcode_t write_copy(struct sdlm_o2dlm_lock *lock, const char *lvb, unsigned int len, unsigned int *bytes)
{
    if (lock->level != O2DLM_LEVEL_EXMODE) return O2DLM_ET_LVB_WRITE;
    // As in a dlmfs: what is written over a value that is not valid starts from zeros.
    if (!lock->value_written && (lock->lksb.sb_flags & DLM_SBF_VALNOTVALID) != 0) memset(lock->value, 0, DLM_LVB_LEN);
    *bytes = len < DLM_LVB_LEN ? len : DLM_LVB_LEN;
    memcpy(lock->value, lvb, *bytes);
    lock->value_written = 1;
    return 0;
}

const struct sdlm_o2dlm_backend sdlm_o2dlm_libdlm = {
    .join = join_lockspace,
    .leave = leave_lockspace,
    .lock = lock_resource_of,
    .unlock = unlock_resource_of,
    .drop = drop_nothing,
    .read_value = read_copy,
    .write_value = write_copy,
    .has_basts = 0,
};
