/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libdlm: the interface of the distributed lock manager to programs. Names, types and values are those that programs
 * for the Linux DLM are built with; the manual pages libdlm(3), dlm_lock(3), dlm_unlock(3), dlm_create_lockspace(3)
 * describe them. Functions return 0, or -1 with errno set, unless said otherwise.
 */
#ifndef SDLM_LIBDLM_H
#define SDLM_LIBDLM_H

#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef SDLM_BUILDING_LIBDLM
#pragma GCC visibility push(default)
#endif

#define DLM_LVB_LEN 32        /* bytes of a lock value block */
#define DLM_LOCKSPACE_LEN 64  /* longest name of a lockspace */
#define DLM_RESNAME_MAXLEN 64 /* longest name of a resource */

/* Lock status block: filled in when an operation has completed, just before the AST routine is called. */
struct dlm_lksb {
    int sb_status;     /* EINPROG, then 0, an errno value, ECANCEL or EUNLOCK */
    uint32_t sb_lkid;  /* set by a new request, names the lock in all later calls */
    char sb_flags;     /* DLM_SBF_... */
    char *sb_lvbptr;   /* DLM_LVB_LEN bytes; used with LKF_VALBLK only */
};

/* sb_flags */
#define DLM_SBF_DEMOTED 0x01     /* the conversion went by way of NL (LKF_CONVDEADLK) */
#define DLM_SBF_VALNOTVALID 0x02 /* the value block may not be the newest */
#define DLM_SBF_ALTMODE 0x04     /* granted in the other mode (LKF_ALTPR, LKF_ALTCW) */

/* flags of dlm_new_lockspace */
#define DLM_LSFL_TIMEWARN 0x00000002
#define DLM_LSFL_FS 0x00000004
#define DLM_LSFL_NEWEXCL 0x00000008 /* EEXIST if this node has it already */

/* modes */
#define LKM_NLMODE 0 /* null */
#define LKM_CRMODE 1 /* concurrent read */
#define LKM_CWMODE 2 /* concurrent write */
#define LKM_PRMODE 3 /* protected read */
#define LKM_PWMODE 4 /* protected write */
#define LKM_EXMODE 5 /* exclusive */

/* flags of lock and unlock calls */
#define LKF_NOQUEUE 0x00000001
#define LKF_CANCEL 0x00000002
#define LKF_CONVERT 0x00000004
#define LKF_VALBLK 0x00000008
#define LKF_QUECVT 0x00000010
#define LKF_IVVALBLK 0x00000020
#define LKF_CONVDEADLK 0x00000040
#define LKF_PERSISTENT 0x00000080
#define LKF_NODLCKWT 0x00000100
#define LKF_NODLCKBLK 0x00000200
#define LKF_EXPEDITE 0x00000400
#define LKF_NOQUEUEBAST 0x00000800
#define LKF_HEADQUE 0x00001000
#define LKF_NOORDER 0x00002000
#define LKF_ORPHAN 0x00004000
#define LKF_ALTPR 0x00008000
#define LKF_ALTCW 0x00010000
#define LKF_FORCEUNLOCK 0x00020000
#define LKF_TIMEOUT 0x00040000
#define LKF_WAIT 0x80000000 /* of the library: the call waits for the completion */

/* sb_status besides errno values */
#define ECANCEL 0x10001 /* cancelled */
#define EUNLOCK 0x10002 /* unlocked */
#define EINPROG 0x10003 /* not completed yet */

typedef void *dlm_lshandle_t;

/* The version of the interface; dlm_kernel_version fails when no node daemon runs. */
extern int dlm_kernel_version(uint32_t *maj, uint32_t *min, uint32_t *patch);
extern void dlm_library_version(uint32_t *maj, uint32_t *min, uint32_t *patch);

/* Lockspaces. Creating and releasing need privileges, opening the lockspace's permissions. */
extern dlm_lshandle_t dlm_create_lockspace(const char *name, mode_t mode);
extern dlm_lshandle_t dlm_new_lockspace(const char *name, mode_t mode, uint32_t flags);
extern dlm_lshandle_t dlm_open_lockspace(const char *name);
extern int dlm_close_lockspace(dlm_lshandle_t ls);
extern int dlm_release_lockspace(const char *name, dlm_lshandle_t ls, int force);

/* Delivery: the descriptor is readable while callbacks are pending, dlm_dispatch calls them. */
extern int dlm_get_fd(void);
extern int dlm_ls_get_fd(dlm_lshandle_t ls);
extern int dlm_dispatch(int fd);

/* The lockspace "default". `parent` and `range` are not used: give 0 and NULL. */
extern int dlm_lock(uint32_t mode, struct dlm_lksb *lksb, uint32_t flags, const void *name, unsigned int namelen,
                    uint32_t parent, void (*astaddr)(void *astarg), void *astarg, void (*bastaddr)(void *astarg),
                    void *range);
extern int dlm_unlock(uint32_t lkid, uint32_t flags, struct dlm_lksb *lksb, void *astarg);
extern int dlm_lock_wait(uint32_t mode, struct dlm_lksb *lksb, uint32_t flags, const void *name, unsigned int namelen,
                         uint32_t parent, void *bastarg, void (*bastaddr)(void *bastarg), void *range);
extern int dlm_unlock_wait(uint32_t lkid, uint32_t flags, struct dlm_lksb *lksb);

/* Any lockspace. */
extern int dlm_ls_lock(dlm_lshandle_t lockspace, uint32_t mode, struct dlm_lksb *lksb, uint32_t flags, const void *name,
                       unsigned int namelen, uint32_t parent, void (*astaddr)(void *astarg), void *astarg,
                       void (*bastaddr)(void *astarg), void *range);
extern int dlm_ls_lockx(dlm_lshandle_t lockspace, uint32_t mode, struct dlm_lksb *lksb, uint32_t flags,
                        const void *name, unsigned int namelen, uint32_t parent, void (*astaddr)(void *astarg),
                        void *astarg, void (*bastaddr)(void *astarg), uint64_t *xid, uint64_t *timeout);
extern int dlm_ls_unlock(dlm_lshandle_t lockspace, uint32_t lkid, uint32_t flags, struct dlm_lksb *lksb, void *astarg);
extern int dlm_ls_lock_wait(dlm_lshandle_t lockspace, uint32_t mode, struct dlm_lksb *lksb, uint32_t flags,
                            const void *name, unsigned int namelen, uint32_t parent, void *bastarg,
                            void (*bastaddr)(void *bastarg), void *range);
extern int dlm_ls_unlock_wait(dlm_lshandle_t lockspace, uint32_t lkid, uint32_t flags, struct dlm_lksb *lksb);
extern int dlm_ls_deadlock_cancel(dlm_lshandle_t ls, uint32_t lkid, uint32_t flags);
extern int dlm_ls_purge(dlm_lshandle_t lockspace, int nodeid, int pid);

/* With threads (libdlm, not libdlm_lt): a thread of the library delivers the callbacks. */
#ifdef _REENTRANT
extern int dlm_pthread_init(void);
extern int dlm_ls_pthread_init(dlm_lshandle_t lockspace);
extern int dlm_pthread_cleanup(void);
extern int lock_resource(const char *resource, int mode, int flags, int *lockid);
extern int unlock_resource(int lockid);
#endif

#ifdef SDLM_BUILDING_LIBDLM
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
