// SPDX-License-Identifier: LGPL-2.1-or-later
// The functions of o2dlm.h: arguments and the list of locks; what they do to a domain is the backend's.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "fs/libo2dlm/context.h"

static struct sdlm_o2dlm_lock *find_lock(const struct o2dlm_ctxt *ctxt, const char *name)
{
    struct sdlm_o2dlm_lock *lock = ctxt->locks;
    while (lock != NULL && strcmp(lock->name, name) != 0) lock = lock->next;
    return lock;
}

// Takes a lock that is in no list yet, and puts it there.
static errcode_t take(struct o2dlm_ctxt *ctxt, const char *name, int flags, enum o2dlm_lock_level level,
                      struct sdlm_o2dlm_lock **taken)
{
    struct sdlm_o2dlm_lock *lock = calloc(1, sizeof *lock);
    if (lock == NULL) return O2DLM_ET_NO_MEMORY;
    strcpy(lock->name, name);
    lock->level = level;
    lock->trylock = (flags & O2DLM_TRYLOCK) != 0;
    lock->fd = -1;
    const errcode_t code = ctxt->backend->lock(ctxt, lock);
    if (code != 0) {
        const int cause = errno;
        free(lock);
        errno = cause;
        return code;
    }
    lock->next = ctxt->locks;
    ctxt->locks = lock;
    *taken = lock;
    return 0;
}

// The lock is gone in any case: there is nothing that a program could do about a failure.
static errcode_t give_up(struct o2dlm_ctxt *ctxt, struct sdlm_o2dlm_lock *lock)
{
    struct sdlm_o2dlm_lock **link = &ctxt->locks;
    while (*link != lock) link = &(*link)->next;
    *link = lock->next;
    const errcode_t code = ctxt->backend->unlock(ctxt, lock);
    free(lock);
    return code;
}

// A lock that nobody else wants, held as long as the context lives: another context's o2dlm_destroy on this node finds
// the domain in use by it.
static errcode_t take_presence_lock(struct o2dlm_ctxt *ctxt)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) return O2DLM_ET_RANDOM;
    char name[O2DLM_LOCK_ID_MAX_LEN];
    snprintf(name, sizeof name, ".%016" PRIx64, random);
    struct sdlm_o2dlm_lock *lock;
    return take(ctxt, name, 0, O2DLM_LEVEL_PRMODE, &lock);
}

// Another context may remove the domain between our joining, which finds it there, and the presence lock.
static errcode_t join(struct o2dlm_ctxt *ctxt)
{
    for (int attempt = 0;; ++attempt) {
        errcode_t code = ctxt->backend->join(ctxt);
        if (code != 0) return code;
        code = take_presence_lock(ctxt);
        if (code == 0) return 0;
        const int cause = errno;
        ctxt->backend->leave(ctxt);
        errno = cause;
        if (code != O2DLM_ET_LOCKING || cause != ENOENT || attempt == 100) return code;
    }
}

errcode_t o2dlm_initialize(const char *dlmfs_path, const char *domain_name, struct o2dlm_ctxt **ctxt)
{
    if (domain_name == NULL || ctxt == NULL) return O2DLM_ET_INVALID_ARGS;
    const size_t mount_bytes = dlmfs_path == NULL ? 0 : strlen(dlmfs_path);
    const size_t domain_bytes = strlen(domain_name);
    if (domain_bytes >= O2DLM_DOMAIN_MAX_LEN) return O2DLM_ET_NAME_TOO_LONG;
    if (mount_bytes + 1 + domain_bytes > PATH_MAX) return O2DLM_ET_NAME_TOO_LONG;
    struct o2dlm_ctxt *made = calloc(1, sizeof *made);
    if (made == NULL) return O2DLM_ET_NO_MEMORY;
    made->backend = dlmfs_path == NULL ? &sdlm_o2dlm_libdlm : &sdlm_o2dlm_dlmfs;
    memcpy(made->domain, domain_name, domain_bytes);
    if (dlmfs_path != NULL) {
        memcpy(made->mount, dlmfs_path, mount_bytes);
        memcpy(made->domain_path, dlmfs_path, mount_bytes);
        made->domain_path[mount_bytes] = '/';
        memcpy(made->domain_path + mount_bytes + 1, domain_name, domain_bytes);
    }
    const errcode_t code = join(made);
    if (code == 0)
        *ctxt = made;
    else
        free(made);
    return code;
}

errcode_t o2dlm_destroy(struct o2dlm_ctxt *ctxt)
{
    if (ctxt == NULL) return O2DLM_ET_INVALID_ARGS;
    errcode_t failed = 0;
    while (ctxt->locks != NULL)
        if (give_up(ctxt, ctxt->locks) != 0) failed = O2DLM_ET_FAILED_UNLOCKS;
    const errcode_t left = ctxt->backend->leave(ctxt);
    free(ctxt);
    return failed != 0 ? failed : left;
}

static errcode_t lock_checked(struct o2dlm_ctxt *ctxt, const char *name, int flags, enum o2dlm_lock_level level,
                              struct sdlm_o2dlm_lock **taken)
{
    if (ctxt == NULL || name == NULL) return O2DLM_ET_INVALID_ARGS;
    if (level != O2DLM_LEVEL_PRMODE && level != O2DLM_LEVEL_EXMODE) return O2DLM_ET_INVALID_LOCK_LEVEL;
    // Names that begin with a point are the presence locks'.
    if (strlen(name) >= O2DLM_LOCK_ID_MAX_LEN || name[0] == '.') return O2DLM_ET_INVALID_LOCK_NAME;
    if (find_lock(ctxt, name) != NULL) return O2DLM_ET_RECURSIVE_LOCK;
    return take(ctxt, name, flags, level, taken);
}

errcode_t o2dlm_lock(struct o2dlm_ctxt *ctxt, const char *lockid, int lockflags, enum o2dlm_lock_level level)
{
    struct sdlm_o2dlm_lock *lock;
    return lock_checked(ctxt, lockid, lockflags, level, &lock);
}

errcode_t o2dlm_lock_with_bast(struct o2dlm_ctxt *ctxt, const char *lockid, int lockflags, enum o2dlm_lock_level level,
                               void (*bast_func)(void *bast_arg), void *bast_arg, int *poll_fd)
{
    if (ctxt == NULL || bast_func == NULL || poll_fd == NULL) return O2DLM_ET_INVALID_ARGS;
    if (!ctxt->backend->has_basts) return O2DLM_ET_BAST_UNSUPPORTED;
    struct sdlm_o2dlm_lock *lock;
    const errcode_t code = lock_checked(ctxt, lockid, lockflags, level, &lock);
    if (code != 0) return code;
    lock->bast_func = bast_func;
    lock->bast_arg = bast_arg;
    *poll_fd = lock->fd;
    return 0;
}

void o2dlm_process_bast(struct o2dlm_ctxt *ctxt, int poll_fd)
{
    if (ctxt == NULL || poll_fd < 0) return;
    for (const struct sdlm_o2dlm_lock *lock = ctxt->locks; lock != NULL; lock = lock->next) {
        if (lock->fd != poll_fd || lock->bast_func == NULL) continue;
        lock->bast_func(lock->bast_arg);
        return;                                     // the function may have unlocked: `lock` may be no more
    }
}

errcode_t o2dlm_unlock(struct o2dlm_ctxt *ctxt, const char *lockid)
{
    if (ctxt == NULL || lockid == NULL) return O2DLM_ET_INVALID_ARGS;
    struct sdlm_o2dlm_lock *lock = find_lock(ctxt, lockid);
    return lock == NULL ? O2DLM_ET_UNKNOWN_LOCK : give_up(ctxt, lock);
}

errcode_t o2dlm_drop_lock(struct o2dlm_ctxt *ctxt, const char *lockid)
{
    if (ctxt == NULL || lockid == NULL) return O2DLM_ET_INVALID_ARGS;
    if (find_lock(ctxt, lockid) != NULL) return O2DLM_ET_BUSY_LOCK;
    return ctxt->backend->drop(ctxt, lockid);
}

errcode_t o2dlm_read_lvb(struct o2dlm_ctxt *ctxt, char *lockid, char *lvb, unsigned int len, unsigned int *bytes_read)
{
    if (ctxt == NULL || lockid == NULL || lvb == NULL) return O2DLM_ET_INVALID_ARGS;
    struct sdlm_o2dlm_lock *lock = find_lock(ctxt, lockid);
    if (lock == NULL) return O2DLM_ET_UNKNOWN_LOCK;
    unsigned int bytes = 0;
    const errcode_t code = ctxt->backend->read_value(lock, lvb, len, &bytes);
    if (code == 0 && bytes_read != NULL) *bytes_read = bytes;
    return code;
}

errcode_t o2dlm_write_lvb(struct o2dlm_ctxt *ctxt, char *lockid, const char *lvb, unsigned int len,
                          unsigned int *bytes_written)
{
    if (ctxt == NULL || lockid == NULL || lvb == NULL) return O2DLM_ET_INVALID_ARGS;
    struct sdlm_o2dlm_lock *lock = find_lock(ctxt, lockid);
    if (lock == NULL) return O2DLM_ET_UNKNOWN_LOCK;
    unsigned int bytes = 0;
    const errcode_t code = ctxt->backend->write_value(lock, lvb, len, &bytes);
    if (code == 0 && bytes_written != NULL) *bytes_written = bytes;
    return code;
}

// Every dlmfs of sdlmd can do both, and so can the kernel's since 2.6.37.
static errcode_t supported(int *supports)
{
    if (supports == NULL) return O2DLM_ET_INVALID_ARGS;
    *supports = 1;
    return 0;
}

errcode_t o2dlm_supports_bast(int *supports) { return supported(supports); }

errcode_t o2dlm_supports_stackglue(int *supports) { return supported(supports); }
