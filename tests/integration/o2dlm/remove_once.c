// SPDX-License-Identifier: LGPL-2.1-or-later
// Preloaded into a program: just before it opens its first presence lock, somebody else removes the (empty) domain.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int open(const char *path, int flags, ...)
{
    static int done;
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    const char *name = strrchr(path, '/');
    if (!done && (flags & O_CREAT) != 0 && name != NULL && name[1] == '.') {
        done = 1;
        char domain[4096];
        snprintf(domain, sizeof domain, "%.*s", (int)(name - path), path);
        if (rmdir(domain) != 0) _exit(99);
    }
    return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open"))(path, flags, mode);
}
