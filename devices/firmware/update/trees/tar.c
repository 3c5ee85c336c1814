/* SPDX-License-Identifier: Apache-2.0 */
#include "trees/tar.h"

#include "base/log.h"
#include "files/file_io.h"
#include "files/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 512u
#define MAX_PATH 256 /* 155 of the prefix, a slash, 100 of the name */

typedef struct ustar {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, linkname[100], magic[6], version[2],
        uname[32], gname[32], devmajor[8], devminor[8], prefix[155], padding[12];
} ustar;
_Static_assert(sizeof(ustar) == BLOCK, "a ustar header is one block");

static bool path_is_good(const char *path) {
    int depth = 0;
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        depth++;
    }
    return depth <= UPDATE_MAX_DEPTH && weckd_path_is_plain(path);
}

/* Read octal digits up to the field's last byte, which is a NUL or a space; nothing else, no base-256. */
static bool read_octal(const char *field, size_t width, uint64_t *value) {
    *value = 0;
    for (size_t i = 0; i + 1 < width; i++) {
        if (field[i] < '0' || field[i] > '7') {
            return false;
        }
        *value = (*value << 3) | (uint64_t)(field[i] - '0');
    }
    return field[width - 1] == '\0' || field[width - 1] == ' ';
}

static bool checksum_is_good(const ustar *header) {
    const unsigned char *bytes = (const unsigned char *)header;
    size_t from = offsetof(ustar, checksum), to = from + sizeof header->checksum;
    uint64_t sum = 0, stored = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        sum += i >= from && i < to ? (unsigned char)' ' : bytes[i];
    }
    return read_octal(header->checksum, 7, &stored) && stored == sum; /* six digits, NUL, space */
}

static bool read_path(const ustar *header, char path[MAX_PATH + 1]) {
    size_t prefix = strnlen(header->prefix, sizeof header->prefix), name = strnlen(header->name, sizeof header->name);
    size_t at = 0;
    if (prefix > 0) {
        memcpy(path, header->prefix, prefix);
        path[prefix] = '/';
        at = prefix + 1;
    }
    memcpy(path + at, header->name, name);
    path[at + name] = '\0';
    return path_is_good(path);
}

static bool is_zero(const void *block) {
    const char *bytes = block;
    for (size_t i = 0; i < BLOCK; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

static int damaged(updater *u) { return log_fail(u, WECKD_ERR_FORMAT, "the tar is damaged or cut short; fetch it again"); }

/* Check the end of the tar: two blocks of zeros or more, and nothing else. The first block was read already. */
static int check_end(updater *u, int tar_fd) {
    char block[BLOCK];
    uint64_t blocks = 1;
    ssize_t got = 0;
    while ((got = weckd_read_all(tar_fd, block, BLOCK)) == (ssize_t)BLOCK && is_zero(block)) {
        blocks++;
    }
    return got == 0 && blocks >= 2 ? WECKD_OK : damaged(u);
}

static int unpack_file(updater *u, int tar_fd, int to_fd, const char *path, uint64_t bytes) {
    const char *name = NULL;
    int parent = tree_open_parent(to_fd, path, &name);
    int fd = parent < 0 ? -1 : openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    int saved_errno = errno;
    if (parent >= 0) {
        (void)close(parent);
    }
    if (fd < 0) {
        return log_fail(u, saved_errno == EEXIST ? WECKD_ERR_FORMAT : WECKD_ERR_IO, "%.260s: cannot be made (%s)", path,
                        strerror(saved_errno));
    }
    static char chunk[128 * BLOCK];
    int status = WECKD_OK;
    for (uint64_t left = bytes; status == WECKD_OK && left > 0;) {
        size_t want = left < sizeof chunk ? (size_t)left : sizeof chunk;
        size_t padded = (want + BLOCK - 1) / BLOCK * BLOCK;
        if (weckd_read_all(tar_fd, chunk, padded) != (ssize_t)padded) {
            status = damaged(u);
        } else if (!tree_write(fd, chunk, want)) {
            status = log_fail(u, WECKD_ERR_IO, "%.260s: cannot be written (%s)", path, strerror(errno));
        }
        left -= want;
    }
    if (close(fd) != 0 && status == WECKD_OK) {
        status = log_fail(u, WECKD_ERR_IO, "%.260s: cannot be written (%s)", path, strerror(errno));
    }
    return status;
}

int tar_unpack(updater *u, int tar_fd, int to_fd, tree_budget *budget) {
    for (;;) {
        ustar header;
        char path[MAX_PATH + 1];
        uint64_t bytes = 0;
        if (weckd_read_all(tar_fd, &header, BLOCK) != (ssize_t)BLOCK) {
            return damaged(u);
        }
        if (is_zero(&header)) {
            return check_end(u, tar_fd);
        }
        if (memcmp(header.magic, "ustar", 6) != 0 || memcmp(header.version, "00", 2) != 0 || !checksum_is_good(&header) ||
            !read_octal(header.size, sizeof header.size, &bytes)) {
            return log_fail(u, WECKD_ERR_FORMAT, "expected a POSIX tar by `weckd-edge package tar`, found something else");
        }
        if (header.type != '0') {
            return log_fail(u, WECKD_ERR_LINK, "%.100s: the tar holds a link, a folder or a special entry", header.name);
        }
        if (!read_path(&header, path)) {
            return log_fail(u, WECKD_ERR_LISTING, "the tar holds a path that a bundle may not hold");
        }
        if (weckd_path_is_device(path)) {
            return log_fail(u, WECKD_ERR_LISTING, "%.260s: what is built on a device is not part of an update", path);
        }
        if (budget->files_left == 0 || bytes > budget->bytes_left) {
            return log_fail(u, WECKD_ERR_LIMIT, "the tar holds more than the %u files or %u MiB that are accepted",
                            UPDATE_MAX_FILES, u->max_mib);
        }
        budget->files_left--;
        budget->bytes_left -= bytes;
        int status = unpack_file(u, tar_fd, to_fd, path, bytes);
        if (status != WECKD_OK) {
            return status;
        }
    }
}
