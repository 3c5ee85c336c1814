/* SPDX-License-Identifier: Apache-2.0 */
#include "files/file_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8, "compile with -D_FILE_OFFSET_BITS=64: the sizes and inodes of files may be beyond 31 bits");

ssize_t weckd_read_all(int fd, void *to, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
        ssize_t got = read(fd, (char *)to + done, bytes - done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -1;
        }
        if (got == 0) {
            break;
        }
        done += (size_t)got;
    }
    return (ssize_t)done;
}

void weckd_close_keeping_errno(int fd) {
    int saved_errno = errno;
    (void)close(fd);
    errno = saved_errno;
}

int weckd_folder_each(int fd, int (*each)(int fd, const char *name, void *context), void *context) {
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (own < 0) {
        return WECKD_FOLDER_UNREADABLE;
    }
    DIR *folder = fdopendir(own);
    if (folder == NULL) {
        weckd_close_keeping_errno(own);
        return WECKD_FOLDER_UNREADABLE;
    }
    int result = 0;
    while (result == 0) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (entry == NULL) {
            result = errno == 0 ? 0 : WECKD_FOLDER_UNREADABLE;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            result = each(fd, entry->d_name, context);
        }
    }
    int saved_errno = errno;
    (void)closedir(folder);
    errno = saved_errno;
    return result;
}
