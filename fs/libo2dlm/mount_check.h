// SPDX-License-Identifier: LGPL-2.1-or-later
// Whether a descriptor lies on a dlmfs of sdlmd. FUSE gives every file system the same f_type, so the type in the
// mount table decides.
#ifndef SDLM_O2DLM_MOUNT_CHECK_H
#define SDLM_O2DLM_MOUNT_CHECK_H

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SDLM_FUSE_SUPER_MAGIC 0x65735546L
#define SDLM_DLMFS_MAGIC 0x76a9f425L /* of the kernel's ocfs2_dlmfs */

// Whether a line of /proc/self/mountinfo says that the device is a `fuse.dlmfs`.
int sdlm_line_is_dlmfs(const char *line, dev_t device);

// 1 if the mount table of this process has the device as a `fuse.dlmfs`, else 0.
int sdlm_device_is_dlmfs(dev_t device);

#ifdef __cplusplus
}
#endif

#endif
