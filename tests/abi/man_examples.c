/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ways of use that the manual pages libdlm(3), dlm_lock(3) and dlm_create_lockspace(3) describe: a lockspace with a
   thread, poll and dispatch, the waiting calls on the default lockspace. Exits 0 when all went as described. */
#define _REENTRANT
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include LIBDLM_HEADER

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int ast_called;

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #condition, errno);             \
            exit(1);                                                                              \
        }                                                                                         \
    } while (0)

static void ast_in_thread(void* argument) {
    CHECK(strcmp(argument, "argument") == 0);
    pthread_mutex_lock(&mutex);
    ast_called = 1;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&mutex);
}

static void wait_for_thread(void) {
    pthread_mutex_lock(&mutex);
    while (!ast_called) pthread_cond_wait(&changed, &mutex);
    ast_called = 0;
    pthread_mutex_unlock(&mutex);
}

static void with_a_thread(void) {
    struct dlm_lksb lksb;
    char argument[] = "argument";
    dlm_lshandle_t ls = dlm_create_lockspace("myLS", 0660);
    CHECK(ls != NULL);
    CHECK(dlm_ls_pthread_init(ls) == 0);
    CHECK(dlm_ls_lock(ls, LKM_EXMODE, &lksb, 0, "resource", 8, 0, ast_in_thread, argument, NULL, NULL) == 0);
    wait_for_thread();
    CHECK(lksb.sb_status == 0 && lksb.sb_lkid != 0);
    CHECK(dlm_ls_lock(ls, LKM_PRMODE, &lksb, LKF_CONVERT, NULL, 0, 0, ast_in_thread, argument, NULL, NULL) == 0);
    wait_for_thread();
    CHECK(lksb.sb_status == 0);
    CHECK(dlm_ls_unlock(ls, lksb.sb_lkid, 0, &lksb, argument) == 0);
    wait_for_thread();
    CHECK(lksb.sb_status == EUNLOCK);
    CHECK(dlm_release_lockspace("myLS", ls, 0) == 0);
}

static void ast_polled(void* argument) {
    (void)argument;
    ast_called = 1;
}

static int poll_for_ast(dlm_lshandle_t ls) {
    struct pollfd pfd;
    pfd.fd = dlm_ls_get_fd(ls);
    pfd.events = POLLIN;
    while (!ast_called) {
        if (poll(&pfd, 1, 0) < 0) return -1;
        dlm_dispatch(dlm_ls_get_fd(ls));
    }
    ast_called = 0;
    return 0;
}

static void with_poll(void) {
    struct dlm_lksb lksb;
    dlm_lshandle_t ls = dlm_new_lockspace("polled", 0600, DLM_LSFL_NEWEXCL);
    CHECK(ls != NULL);
    CHECK(dlm_new_lockspace("polled", 0600, DLM_LSFL_NEWEXCL) == NULL && errno == EEXIST);
    CHECK(dlm_ls_lock(ls, LKM_PRMODE, &lksb, 0, "resource", 8, 0, ast_polled, &lksb, NULL, NULL) == 0);
    CHECK(poll_for_ast(ls) == 0 && lksb.sb_status == 0);
    CHECK(dlm_ls_unlock(ls, lksb.sb_lkid, 0, &lksb, &lksb) == 0);
    CHECK(poll_for_ast(ls) == 0 && lksb.sb_status == EUNLOCK);
    CHECK(dlm_close_lockspace(ls) == 0);
    ls = dlm_open_lockspace("polled");
    CHECK(ls != NULL);
    CHECK(dlm_release_lockspace("polled", ls, 1) == 0);
    CHECK(dlm_open_lockspace("polled") == NULL && errno == ENOENT);
}

static void on_the_default_lockspace(void) {
    int status;
    struct dlm_lksb lksb;
    CHECK(dlm_pthread_init() == 0);
    CHECK(dlm_pthread_init() == -1 && errno == EEXIST);
    status = dlm_lock_wait(LKM_EXMODE, &lksb, LKF_NOQUEUE, "MyLock", strlen("MyLock"), 0, NULL, NULL, NULL);
    CHECK(status == 0 && lksb.sb_status == 0);
    if (status == 0) status = dlm_unlock_wait(lksb.sb_lkid, 0, &lksb);
    CHECK(status == 0 && lksb.sb_status == EUNLOCK);
    int lockid = 0;
    CHECK(lock_resource("MyResource", LKM_EXMODE, 0, &lockid) == 0 && lockid > 0);
    CHECK(unlock_resource(lockid) == 0);
    CHECK(dlm_pthread_cleanup() == 0);
}

int main(void) {
    uint32_t major, minor, patch;
    dlm_library_version(&major, &minor, &patch);
    CHECK(major == 6 && minor == 0 && patch == 2);
    CHECK(dlm_kernel_version(&major, &minor, &patch) == 0);
    CHECK(major == 6 && minor == 0 && patch == 2);
    with_a_thread();
    with_poll();
    on_the_default_lockspace();
    puts("ok");
    return 0;
}
