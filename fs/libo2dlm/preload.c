// SPDX-License-Identifier: LGPL-2.1-or-later
// Loaded with LD_PRELOAD into programs that carry the original static libo2dlm inside. Two answers are changed, nothing
// else: statfs of a mount of ours has the type of the kernel's dlmfs, and where the kernel's module is not loaded, its
// file of capabilities can be opened for reading. Must stay invisible otherwise: errno and all other paths are the
// C library's.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fs/libo2dlm/mount_check.h"

// The headers' own redirections to other names (large files, fortified calls) would rename these definitions.
#if defined(_FORTIFY_SOURCE) && _FORTIFY_SOURCE > 0
#error "build this file without _FORTIFY_SOURCE"
#endif
#if defined(_FILE_OFFSET_BITS) && _FILE_OFFSET_BITS == 64 && !defined(__LP64__)
#error "build this file without _FILE_OFFSET_BITS"
#endif

static const char capabilities_path[] = "/sys/module/ocfs2_dlmfs/parameters/capabilities";
static const char capabilities_text[] = "bast stackglue";

// The next definition in link order. Looked up at each use: racing threads find the same, and nothing here is hot.
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define NEXT_AS(type, name) ((type)dlsym(RTLD_NEXT, name))

static int shown_as_dlmfs_fd(long type, int fd)
{
    struct stat status;
    return type == SDLM_FUSE_SUPER_MAGIC && fstat(fd, &status) == 0 && sdlm_device_is_dlmfs(status.st_dev);
}

static int shown_as_dlmfs_path(long type, const char *path)
{
    struct stat status;
    return type == SDLM_FUSE_SUPER_MAGIC && stat(path, &status) == 0 && sdlm_device_is_dlmfs(status.st_dev);
}

int fstatfs(int fd, struct statfs *buffer)
{
    const int result = NEXT(fstatfs)(fd, buffer);
    if (result == 0 && shown_as_dlmfs_fd(buffer->f_type, fd)) buffer->f_type = SDLM_DLMFS_MAGIC;
    return result;
}

int fstatfs64(int fd, struct statfs64 *buffer)
{
    const int result = NEXT(fstatfs64)(fd, buffer);
    if (result == 0 && shown_as_dlmfs_fd(buffer->f_type, fd)) buffer->f_type = SDLM_DLMFS_MAGIC;
    return result;
}

int statfs(const char *path, struct statfs *buffer)
{
    const int result = NEXT(statfs)(path, buffer);
    if (result == 0 && shown_as_dlmfs_path(buffer->f_type, path)) buffer->f_type = SDLM_DLMFS_MAGIC;
    return result;
}

int statfs64(const char *path, struct statfs64 *buffer)
{
    const int result = NEXT(statfs64)(path, buffer);
    if (result == 0 && shown_as_dlmfs_path(buffer->f_type, path)) buffer->f_type = SDLM_DLMFS_MAGIC;
    return result;
}

static int is_capabilities(const char *path) { return path != NULL && strcmp(path, capabilities_path) == 0; }

// A read-only file with the text, or -1 with the errno that the real file gave.
static int open_capabilities(int flags)
{
    const int real_errno = errno;
    const int fd = memfd_create("ocfs2_dlmfs_capabilities", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    if (fd < 0) return errno = real_errno, -1;
    const ssize_t bytes = (ssize_t)(sizeof capabilities_text - 1);
    int ok = write(fd, capabilities_text, (size_t)bytes) == bytes && lseek(fd, 0, SEEK_SET) == 0;
    ok = ok && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0;
    if (ok && (flags & O_CLOEXEC) == 0) ok = fcntl(fd, F_SETFD, 0) == 0;
    if (!ok) return close(fd), errno = real_errno, -1;
    errno = real_errno;
    return fd;
}

// What an open of `path` gives in the end, when the C library's gave `result`.
static int after_open(int result, const char *path, int flags)
{
    const int wanted = result < 0 && errno == ENOENT && (flags & O_ACCMODE) == O_RDONLY && is_capabilities(path);
    return wanted ? open_capabilities(flags) : result;
}

#define MODE_ARGUMENT(flags, mode)                                                 \
    mode_t mode = 0;                                                               \
    if (((flags) & O_CREAT) != 0 || ((flags) & O_TMPFILE) == O_TMPFILE) {          \
        va_list arguments;                                                         \
        va_start(arguments, flags);                                                \
        mode = va_arg(arguments, mode_t);                                          \
        va_end(arguments);                                                         \
    }

int open(const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags, mode)
    return after_open(NEXT(open)(path, flags, mode), path, flags);
}

int open64(const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags, mode)
    return after_open(NEXT(open64)(path, flags, mode), path, flags);
}

int openat(int directory, const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags, mode)
    return after_open(NEXT(openat)(directory, path, flags, mode), path, flags);
}

int openat64(int directory, const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags, mode)
    return after_open(NEXT(openat64)(directory, path, flags, mode), path, flags);
}

// The fortified calls of programs built with _FORTIFY_SOURCE.
typedef int (*Open2)(const char *, int);
typedef int (*Openat2)(int, const char *, int);
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);

int __open_2(const char *path, int flags)
{
    return after_open(NEXT_AS(Open2, "__open_2")(path, flags), path, flags);
}

int __open64_2(const char *path, int flags)
{
    return after_open(NEXT_AS(Open2, "__open64_2")(path, flags), path, flags);
}

int __openat_2(int directory, const char *path, int flags)
{
    return after_open(NEXT_AS(Openat2, "__openat_2")(directory, path, flags), path, flags);
}

int __openat64_2(int directory, const char *path, int flags)
{
    return after_open(NEXT_AS(Openat2, "__openat64_2")(directory, path, flags), path, flags);
}

static FILE *after_fopen(FILE *result, const char *path, const char *mode)
{
    if (result != NULL || errno != ENOENT || !is_capabilities(path) || mode[0] != 'r' || strchr(mode, '+') != NULL)
        return result;
    const int fd = open_capabilities(strchr(mode, 'e') != NULL ? O_CLOEXEC : 0);
    if (fd < 0) return NULL;
    FILE *file = fdopen(fd, mode);
    if (file == NULL) close(fd);
    return file;
}

FILE *fopen(const char *path, const char *mode) { return after_fopen(NEXT(fopen)(path, mode), path, mode); }

FILE *fopen64(const char *path, const char *mode) { return after_fopen(NEXT(fopen64)(path, mode), path, mode); }
