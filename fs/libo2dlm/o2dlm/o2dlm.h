// SPDX-License-Identifier: LGPL-2.1-or-later
// Locks and value blocks through a dlmfs, or through libdlm. The interface is that of ocfs2-tools' libo2dlm; see
// libo2dlm(3). One context belongs to one thread at a time.
#ifndef SDLM_O2DLM_H
#define SDLM_O2DLM_H

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <o2dlm/o2dlm_err.h>

#ifdef __cplusplus
extern "C" {
#endif

#define O2DLM_LOCK_ID_MAX_LEN 32                    /* bytes of a lock's name with its final 0 */
#define O2DLM_DOMAIN_MAX_LEN 255                    /* bytes of a domain's name with its final 0 */
#define O2DLM_MAX_FULL_DOMAIN_PATH (PATH_MAX + 1)

#define O2DLM_TRYLOCK 0x01                          /* O2DLM_ET_TRYLOCK_FAILED instead of waiting */
#define O2DLM_VALID_FLAGS (O2DLM_TRYLOCK)

struct o2dlm_ctxt;

enum o2dlm_lock_level {
    O2DLM_LEVEL_PRMODE,                             /* shared */
    O2DLM_LEVEL_EXMODE                              /* exclusive */
};

/* Joins a domain of the dlmfs mounted at `dlmfs_path`, or with NULL the lockspace of that name through libdlm. */
extern errcode_t o2dlm_initialize(const char *dlmfs_path, const char *domain_name, struct o2dlm_ctxt **ctxt);

/* Unlocks everything, leaves the domain, and removes it if nobody else on this node uses it. Frees the context, also
 * when it fails. */
extern errcode_t o2dlm_destroy(struct o2dlm_ctxt *ctxt);

/* Returns when the lock is granted. A lock that this context holds already cannot be taken again, at no level. */
extern errcode_t o2dlm_lock(struct o2dlm_ctxt *ctxt, const char *lockid, int lockflags, enum o2dlm_lock_level level);

/* The same, and while another node waits for this lock, `*poll_fd` is readable: call o2dlm_process_bast() then, which
 * calls `bast_func(bast_arg)`. The descriptor is closed by the unlock. dlmfs only. */
extern errcode_t o2dlm_lock_with_bast(struct o2dlm_ctxt *ctxt, const char *lockid, int lockflags,
                                      enum o2dlm_lock_level level, void (*bast_func)(void *bast_arg), void *bast_arg,
                                      int *poll_fd);
extern void o2dlm_process_bast(struct o2dlm_ctxt *ctxt, int poll_fd);

extern errcode_t o2dlm_unlock(struct o2dlm_ctxt *ctxt, const char *lockid);

/* Removes a lock that is not held from the domain, its value with it when no other node keeps it. dlmfs only. */
extern errcode_t o2dlm_drop_lock(struct o2dlm_ctxt *ctxt, const char *lockid);

/* The value block of a lock that is held: 64 bytes in a dlmfs, 32 with libdlm; longer is cut. Counts may be NULL. */
extern errcode_t o2dlm_read_lvb(struct o2dlm_ctxt *ctxt, char *lockid, char *lvb, unsigned int len,
                                unsigned int *bytes_read);
extern errcode_t o2dlm_write_lvb(struct o2dlm_ctxt *ctxt, char *lockid, const char *lvb, unsigned int len,
                                 unsigned int *bytes_written);

/* 1 or 0: whether o2dlm_lock_with_bast() works on a dlmfs; whether it works with any cluster stack. */
extern errcode_t o2dlm_supports_bast(int *supports);
extern errcode_t o2dlm_supports_stackglue(int *supports);

#ifdef __cplusplus
}
#endif

#endif
