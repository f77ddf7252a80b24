// SPDX-License-Identifier: LGPL-2.1-or-later
// Opens a file, or asks for the type of its file system, in the way of its first argument.
#define _GNU_SOURCE
#define _LARGEFILE64_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

// glibc's entries for fortified programs.
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);

static int failed(void) { return printf("errno %d\n", errno), 0; }

static int show_types(const char *path)
{
    struct statfs small;
    struct statfs64 large;
    const int fd = open(path, O_RDONLY);
    if (fd < 0 || statfs(path, &small) != 0) return failed();
    printf("statfs %lx ", (unsigned long)small.f_type);
    if (fstatfs(fd, &small) != 0) return failed();
    printf("fstatfs %lx ", (unsigned long)small.f_type);
    if (statfs64(path, &large) != 0) return failed();
    printf("statfs64 %lx ", (unsigned long)large.f_type);
    if (fstatfs64(fd, &large) != 0) return failed();
    printf("fstatfs64 %lx\n", (unsigned long)large.f_type);
    return 0;
}

static int show_file(FILE *file)
{
    char text[64] = "";
    if (file == NULL) return failed();
    const size_t bytes = fread(text, 1, sizeof text - 1, file);
    text[bytes] = 0;
    printf("[%s]\n", text);
    return 0;
}

static int show_fd(int fd) { return fd < 0 ? failed() : show_file(fdopen(fd, "r")); }

static int show_mode(const char *path, int fd)
{
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) return failed();
    printf("mode %o\n", status.st_mode & 07777);
    return unlink(path);
}

static int change(const char *path)
{
    const int fd = open(path, O_RDONLY);
    return write(fd, "x", 1) == 1 ? 1 : failed();
}

int main(int argc, char **argv)
{
    if (argc < 3) return 2;
    const char *way = argv[1], *path = argv[2];
    umask(0);
#define WAY(name, action) \
    if (strcmp(way, name) == 0) return action;
    WAY("type", show_types(path))
    WAY("fopen", show_file(fopen(path, "r")))
    WAY("fopen64", show_file(fopen64(path, "r")))
    WAY("fopen-e", show_file(fopen(path, "re")))
    WAY("fopen-w", show_file(fopen(path, "r+")))
    WAY("open", show_fd(open(path, O_RDONLY)))
    WAY("open64", show_fd(open64(path, O_RDONLY)))
    WAY("openat", show_fd(openat(AT_FDCWD, path, O_RDONLY)))
    WAY("openat64", show_fd(openat64(AT_FDCWD, path, O_RDONLY)))
    WAY("open_2", show_fd(__open_2(path, O_RDONLY)))
    WAY("open64_2", show_fd(__open64_2(path, O_RDONLY)))
    WAY("openat_2", show_fd(__openat_2(AT_FDCWD, path, O_RDONLY)))
    WAY("openat64_2", show_fd(__openat64_2(AT_FDCWD, path, O_RDONLY)))
    WAY("write", show_fd(open(path, O_RDWR)))
    WAY("change", change(path))
    WAY("create", show_mode(path, open(path, O_RDWR | O_CREAT | O_EXCL, (mode_t)strtol(argv[3], NULL, 8))))
    WAY("create-at", show_mode(path, openat64(AT_FDCWD, path, O_RDWR | O_CREAT, (mode_t)strtol(argv[3], NULL, 8))))
    return 2;
}
