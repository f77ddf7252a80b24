// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fs/libo2dlm/mount_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

// One line: id parent major:minor root point options [tags] - type source superoptions.
// Blanks inside of a field are written as \040, so " - " is the separator.
int sdlm_line_is_dlmfs(const char *line, dev_t device)
{
    unsigned int device_major, device_minor;
    if (sscanf(line, "%*u %*u %u:%u ", &device_major, &device_minor) != 2) return 0;
    if (device_major != major(device) || device_minor != minor(device)) return 0;
    const char *type = strstr(line, " - ");
    return type != NULL && strncmp(type + 3, "fuse.dlmfs ", strlen("fuse.dlmfs ")) == 0;
}

int sdlm_device_is_dlmfs(dev_t device)
{
    const int saved_errno = errno;
    FILE *table = fopen("/proc/self/mountinfo", "re");
    if (table == NULL) return errno = saved_errno, 0;
    char *line = NULL;
    size_t room = 0;
    int found = 0;
    while (!found && getline(&line, &room, table) >= 0) found = sdlm_line_is_dlmfs(line, device);
    free(line);
    fclose(table);
    errno = saved_errno;
    return found;
}
