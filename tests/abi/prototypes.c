/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compiles only if the header declares each function with exactly this type. */
#define _REENTRANT
#include <stdint.h>
#include <sys/types.h>
#include LIBDLM_HEADER

#define SAME(function, ...) \
    _Static_assert(_Generic(&function, __VA_ARGS__: 1, default: 0), #function " has another type")

typedef void* handle;
typedef struct dlm_lksb lksb;
typedef void (*routine)(void*);

SAME(dlm_kernel_version, int (*)(uint32_t*, uint32_t*, uint32_t*));
SAME(dlm_library_version, void (*)(uint32_t*, uint32_t*, uint32_t*));
SAME(lock_resource, int (*)(const char*, int, int, int*));
SAME(unlock_resource, int (*)(int));
SAME(dlm_lock, int (*)(uint32_t, lksb*, uint32_t, const void*, unsigned, uint32_t, routine, void*, routine, void*));
SAME(dlm_unlock, int (*)(uint32_t, uint32_t, lksb*, void*));
SAME(dlm_lock_wait, int (*)(uint32_t, lksb*, uint32_t, const void*, unsigned, uint32_t, void*, routine, void*));
SAME(dlm_unlock_wait, int (*)(uint32_t, uint32_t, lksb*));
SAME(dlm_get_fd, int (*)(void));
SAME(dlm_dispatch, int (*)(int));
SAME(dlm_create_lockspace, handle (*)(const char*, mode_t));
SAME(dlm_new_lockspace, handle (*)(const char*, mode_t, uint32_t));
SAME(dlm_open_lockspace, handle (*)(const char*));
SAME(dlm_close_lockspace, int (*)(handle));
SAME(dlm_release_lockspace, int (*)(const char*, handle, int));
SAME(dlm_ls_get_fd, int (*)(handle));
SAME(dlm_ls_lock,
     int (*)(handle, uint32_t, lksb*, uint32_t, const void*, unsigned, uint32_t, routine, void*, routine, void*));
SAME(dlm_ls_lockx, int (*)(handle, uint32_t, lksb*, uint32_t, const void*, unsigned, uint32_t, routine, void*, routine,
                           uint64_t*, uint64_t*));
SAME(dlm_ls_unlock, int (*)(handle, uint32_t, uint32_t, lksb*, void*));
SAME(dlm_ls_lock_wait,
     int (*)(handle, uint32_t, lksb*, uint32_t, const void*, unsigned, uint32_t, void*, routine, void*));
SAME(dlm_ls_unlock_wait, int (*)(handle, uint32_t, uint32_t, lksb*));
SAME(dlm_ls_deadlock_cancel, int (*)(handle, uint32_t, uint32_t));
SAME(dlm_ls_purge, int (*)(handle, int, int));
SAME(dlm_pthread_init, int (*)(void));
SAME(dlm_ls_pthread_init, int (*)(handle));
SAME(dlm_pthread_cleanup, int (*)(void));
