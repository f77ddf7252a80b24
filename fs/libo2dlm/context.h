// SPDX-License-Identifier: LGPL-2.1-or-later
// A context: its domain, through a dlmfs or through libdlm, and the locks that it holds.
#ifndef SDLM_O2DLM_CONTEXT_H
#define SDLM_O2DLM_CONTEXT_H

#include "fs/libo2dlm/o2dlm_api.h"
#include "locks/libdlm/libdlm.h"

struct sdlm_o2dlm_lock {
    struct sdlm_o2dlm_lock *next;
    char name[O2DLM_LOCK_ID_MAX_LEN];
    enum o2dlm_lock_level level;
    int trylock;
    int fd;                                         // dlmfs
    struct dlm_lksb lksb;                           // libdlm
    char value[DLM_LVB_LEN];
    int value_written;
    void (*bast_func)(void *bast_arg);
    void *bast_arg;
};

// Both ways to a domain. A failure leaves nothing behind that has to be undone, and `errno` as the cause left it.
struct sdlm_o2dlm_backend {
    errcode_t (*join)(struct o2dlm_ctxt *ctxt);
    errcode_t (*leave)(struct o2dlm_ctxt *ctxt);    // nothing is held any more
    errcode_t (*lock)(struct o2dlm_ctxt *ctxt, struct sdlm_o2dlm_lock *lock);
    errcode_t (*unlock)(struct o2dlm_ctxt *ctxt, struct sdlm_o2dlm_lock *lock);
    errcode_t (*drop)(struct o2dlm_ctxt *ctxt, const char *name);
    errcode_t (*read_value)(struct sdlm_o2dlm_lock *lock, char *lvb, unsigned int len, unsigned int *bytes);
    errcode_t (*write_value)(struct sdlm_o2dlm_lock *lock, const char *lvb, unsigned int len, unsigned int *bytes);
    int has_basts;
};
extern const struct sdlm_o2dlm_backend sdlm_o2dlm_dlmfs;
extern const struct sdlm_o2dlm_backend sdlm_o2dlm_libdlm;

// libdlm_lt's functions, found at run time.
struct sdlm_o2dlm_library {
    void *handle;
    __typeof__(&dlm_create_lockspace) create;
    __typeof__(&dlm_release_lockspace) release;
    __typeof__(&dlm_ls_lock_wait) lock_wait;
    __typeof__(&dlm_ls_unlock_wait) unlock_wait;
};

struct o2dlm_ctxt {
    const struct sdlm_o2dlm_backend *backend;
    struct sdlm_o2dlm_lock *locks;                  // the newest first; the last is the presence lock
    char domain[O2DLM_DOMAIN_MAX_LEN];
    char mount[O2DLM_MAX_FULL_DOMAIN_PATH];         // dlmfs
    char domain_path[O2DLM_MAX_FULL_DOMAIN_PATH];
    struct sdlm_o2dlm_library library;              // libdlm
    dlm_lshandle_t lockspace;
};

#endif
