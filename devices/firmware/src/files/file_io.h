/* Reading descriptors and folders; weckd-update compiles this too. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_FILE_IO_H
#define WECKD_FILE_IO_H

#include <sys/types.h>

/* Read up to `bytes` bytes; fewer come only at the end of the file. -1: errno has the error. */
ssize_t weckd_read_all(int fd, void *to, size_t bytes);

/* Close a descriptor; errno stays as it was. */
void weckd_close_keeping_errno(int fd);

#define WECKD_FOLDER_UNREADABLE 1

/* Call `each` with every name in a folder but "." and "..", in no order, until it returns other than 0, and return that.
 * The descriptor stays the caller's. WECKD_FOLDER_UNREADABLE: the folder cannot be listed; errno has the error. */
int weckd_folder_each(int fd, int (*each)(int fd, const char *name, void *context), void *context);

#endif
