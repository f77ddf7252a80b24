// SPDX-License-Identifier: LGPL-2.1-or-later
// A domain of a dlmfs: its directory; a lock is an open file, a value the file's content.
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fs/libo2dlm/context.h"
#include "fs/libo2dlm/mount_check.h"

enum { path_room = O2DLM_MAX_FULL_DOMAIN_PATH + NAME_MAX + 1 };

static void path_of(char *path, const struct o2dlm_ctxt *ctxt, const char *name)
{
    snprintf(path, path_room, "%s/%s", ctxt->domain_path, name);
}

// A name with a slash could be another domain's lock.
static int stays_inside(const char *name)
{
    if (strchr(name, '/') == NULL) return 1;
    errno = EINVAL;
    return 0;
}

static void close_quietly(int fd)
{
    const int cause = errno;
    close(fd);
    errno = cause;
}

static errcode_t check_mount(const char *path)
{
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return O2DLM_ET_OPEN_DLM_DIR;
    struct stat status;
    struct statfs fs;
    errcode_t code = 0;
    if (fstat(fd, &status) != 0)
        code = O2DLM_ET_STATFS;
    else if (!S_ISDIR(status.st_mode))
        code = O2DLM_ET_NO_FS_DIR;
    else if (fstatfs(fd, &fs) != 0)
        code = O2DLM_ET_STATFS;
    else if (fs.f_type != SDLM_DLMFS_MAGIC &&
             !(fs.f_type == SDLM_FUSE_SUPER_MAGIC && sdlm_device_is_dlmfs(status.st_dev)))
        code = O2DLM_ET_NO_FS;
    close_quietly(fd);
    return code;
}

static errcode_t join_domain(struct o2dlm_ctxt *ctxt)
{
    const errcode_t code = check_mount(ctxt->mount);
    if (code != 0) return code;
    if (mkdir(ctxt->domain_path, 0755) == 0) return 0;
    if (errno != EEXIST) return O2DLM_ET_DOMAIN_CREATE;
    struct stat status;
    if (stat(ctxt->domain_path, &status) == 0 && !S_ISDIR(status.st_mode)) return O2DLM_ET_BAD_DOMAIN_DIR;
    return 0;
}

// Removes every lock that nobody on this node has open.
static errcode_t unlink_all(const struct o2dlm_ctxt *ctxt)
{
    DIR *directory = opendir(ctxt->domain_path);
    if (directory == NULL) return errno == ENOENT ? 0 : O2DLM_ET_DOMAIN_DIR;
    errcode_t code = 0;
    char path[path_room];
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        path_of(path, ctxt, entry->d_name);
        if (unlink(path) != 0 && errno != EBUSY && errno != ENOENT && code == 0) code = O2DLM_ET_UNLINK;
    }
    if (errno != 0 && code == 0) code = O2DLM_ET_DOMAIN_DIR;
    closedir(directory);
    return code;
}

static errcode_t leave_domain(struct o2dlm_ctxt *ctxt)
{
    const errcode_t code = unlink_all(ctxt);
    if (code != 0) return code;
    // Not empty: other contexts or programs of this node use it. ENOENT: one of them has just removed it.
    if (rmdir(ctxt->domain_path) == 0 || errno == ENOTEMPTY || errno == EBUSY || errno == ENOENT) return 0;
    return O2DLM_ET_DOMAIN_DESTROY;
}

// Whether the program has a signal routine that is meant to interrupt calls.
static int signals_interrupt(void)
{
    for (int number = 1; number < NSIG; ++number) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) != 0) continue;
        const int caught = (action.sa_flags & SA_SIGINFO) != 0 ||
                           (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
        if (caught && (action.sa_flags & SA_RESTART) == 0) return 1;
    }
    return 0;
}

// A FUSE server cannot restart an open after a signal, as SA_RESTART wants. And O_CREAT takes two steps in FUSE:
// between them an o2dlm_destroy of somebody else on this node may unlink the name. Keeps errno.
static int is_worth_a_retry(const struct o2dlm_ctxt *ctxt, int *attempts)
{
    enum { attempts_max = 100 };
    const int cause = errno;
    struct stat status;
    int result = 0;
    if (cause == EINTR) result = !signals_interrupt();
    if (cause == ENOENT) result = (*attempts)++ < attempts_max && stat(ctxt->domain_path, &status) == 0;
    errno = cause;
    return result;
}

static errcode_t open_lock(struct o2dlm_ctxt *ctxt, struct sdlm_o2dlm_lock *lock)
{
    const int access_mode = lock->level == O2DLM_LEVEL_EXMODE ? O_RDWR : O_RDONLY;
    const int flags = access_mode | O_CREAT | O_CLOEXEC | (lock->trylock ? O_NONBLOCK : 0);
    if (!stays_inside(lock->name)) return O2DLM_ET_LOCKING;
    char path[path_room];
    path_of(path, ctxt, lock->name);
    int attempts = 0;
    do {
        lock->fd = open(path, flags, 0664);
    } while (lock->fd < 0 && is_worth_a_retry(ctxt, &attempts));
    if (lock->fd >= 0) return 0;
    return errno == ETXTBSY && lock->trylock ? O2DLM_ET_TRYLOCK_FAILED : O2DLM_ET_LOCKING;
}

static errcode_t close_lock(struct o2dlm_ctxt *ctxt, struct sdlm_o2dlm_lock *lock)
{
    (void)ctxt;
    // Other errors say that the mount is dead: the descriptor is closed, and the lock no longer held, all the same.
    return close(lock->fd) != 0 && errno == EBADF ? O2DLM_ET_INTERNAL_FAILURE : 0;
}

static errcode_t unlink_lock(struct o2dlm_ctxt *ctxt, const char *name)
{
    if (!stays_inside(name)) return O2DLM_ET_UNLINK;
    char path[path_room];
    path_of(path, ctxt, name);
    if (unlink(path) == 0) return 0;
    return errno == EBUSY ? O2DLM_ET_BUSY_LOCK : O2DLM_ET_UNLINK;
}

static errcode_t read_file(struct sdlm_o2dlm_lock *lock, char *lvb, unsigned int len, unsigned int *bytes)
{
    const ssize_t count = pread(lock->fd, lvb, len, 0);
    if (count < 0) return O2DLM_ET_LVB_READ;
    if (count == 0) return O2DLM_ET_LVB_INVALID;
    *bytes = (unsigned int)count;
    return 0;
}

static errcode_t write_file(struct sdlm_o2dlm_lock *lock, const char *lvb, unsigned int len, unsigned int *bytes)
{
    const ssize_t count = pwrite(lock->fd, lvb, len, 0);
    if (count < 0) return O2DLM_ET_LVB_WRITE;
    *bytes = (unsigned int)count;
    return 0;
}

const struct sdlm_o2dlm_backend sdlm_o2dlm_dlmfs = {
    .join = join_domain,
    .leave = leave_domain,
    .lock = open_lock,
    .unlock = close_lock,
    .drop = unlink_lock,
    .read_value = read_file,
    .write_value = write_file,
    .has_basts = 1,
};
