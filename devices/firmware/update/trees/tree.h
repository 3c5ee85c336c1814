/* Whole folders, without following a link: copied, removed, synced to the disk. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_TREE_H
#define WECKD_UPDATE_TREE_H

#include "base/update.h"

#include <sys/types.h>

/* Write all of it. false: errno has the error. */
bool tree_write(int fd, const void *from, size_t bytes);

/* Open, making it first where it is not there, the folder that a path's last part lies in; the descriptor is the caller's.
 * `*name` is the last part. -1: errno has the error. */
int tree_open_parent(int fd, const char *path, const char **name);

/* Bytes and files that may still be copied or unpacked. */
typedef struct tree_budget {
    uint64_t bytes_left;
    uint32_t files_left;
} tree_budget;

/* Copy plain files; the folder `device` at the top, which is built on each device, is left out. */
int tree_copy(updater *u, int from_fd, int to_fd, tree_budget *budget);

/* Remove a file or folder. 0, or -1 with errno. */
int tree_remove(int fd, const char *name, int depth);

/* fsync every file, then its folder, up to and with `fd`. 0, or -1 with errno. */
int tree_sync(int fd, int depth);

#endif
