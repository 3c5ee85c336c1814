/* SPDX-License-Identifier: Apache-2.0 */
#include "tar.h"

#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 512u
#define MOST_PATH 256 /* 155 of the prefix, a slash, 100 of the name */

typedef struct ustar {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, linkname[100], magic[6], version[2],
        uname[32], gname[32], devmajor[8], devminor[8], prefix[155], padding[12];
} ustar;
_Static_assert(sizeof(ustar) == BLOCK, "a ustar header is one block");

bool tar_path_is_good(const char *path) {
    int depth = 0;
    for (const char *part = path;;) {
        size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.')) {
            return false;
        }
        for (size_t i = 0; i < length; i++) {
            unsigned char c = (unsigned char)part[i];
            if (c < 0x20 || c > 0x7e || c == '\\') {
                return false;
            }
        }
        if (part[length] == '\0') {
            return true;
        }
        if (++depth > UPDATE_MOST_DEPTH) {
            return false;
        }
        part += length + 1;
    }
}

/* Octal digits to the field's last byte, which is a NUL or a space; nothing else, no base-256. */
static bool octal(const char *field, size_t width, uint64_t *value) {
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
    uint64_t sum = 0, said = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        sum += i >= from && i < to ? (unsigned char)' ' : bytes[i];
    }
    return octal(header->checksum, 7, &said) && said == sum; /* six digits, NUL, space */
}

static bool read_path(const ustar *header, char path[MOST_PATH + 1]) {
    size_t prefix = strnlen(header->prefix, sizeof header->prefix), name = strnlen(header->name, sizeof header->name);
    size_t at = 0;
    if (prefix > 0) {
        memcpy(path, header->prefix, prefix);
        path[prefix] = '/';
        at = prefix + 1;
    }
    memcpy(path + at, header->name, name);
    path[at + name] = '\0';
    return tar_path_is_good(path);
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

static int damaged(updater *u) { return update_fail(u, WECKD_ERR_FORMAT, "the tar is damaged or cut short; fetch it again"); }

/* Two blocks of zeros or more, and nothing else, up to the end. The first was read already. */
static int check_end(updater *u, int tar_fd) {
    char block[BLOCK];
    uint64_t blocks = 1;
    ssize_t got = 0;
    while ((got = tree_read(tar_fd, block, BLOCK)) == (ssize_t)BLOCK && is_zero(block)) {
        blocks++;
    }
    return got == 0 && blocks >= 2 ? WECKD_OK : damaged(u);
}

static int unpack_file(updater *u, int tar_fd, int to_fd, const char *path, uint64_t bytes) {
    const char *name = NULL;
    int parent = tree_open_parent(to_fd, path, &name);
    int fd = parent < 0 ? -1 : openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    int kept = errno;
    if (parent >= 0) {
        (void)close(parent);
    }
    if (fd < 0) {
        return update_fail(u, kept == EEXIST ? WECKD_ERR_FORMAT : WECKD_ERR_IO, "%.260s: cannot be made (%s)", path,
                           strerror(kept));
    }
    static char chunk[128 * BLOCK];
    int status = WECKD_OK;
    for (uint64_t left = bytes; status == WECKD_OK && left > 0;) {
        size_t some = left < sizeof chunk ? (size_t)left : sizeof chunk;
        size_t padded = (some + BLOCK - 1) / BLOCK * BLOCK;
        if (tree_read(tar_fd, chunk, padded) != (ssize_t)padded) {
            status = damaged(u);
        } else if (!tree_write(fd, chunk, some)) {
            status = update_fail(u, WECKD_ERR_IO, "%.260s: cannot be written (%s)", path, strerror(errno));
        }
        left -= some;
    }
    if (close(fd) != 0 && status == WECKD_OK) {
        status = update_fail(u, WECKD_ERR_IO, "%.260s: cannot be written (%s)", path, strerror(errno));
    }
    return status;
}

int tar_unpack(updater *u, int tar_fd, int to_fd, tree_budget *budget) {
    for (;;) {
        ustar header;
        char path[MOST_PATH + 1];
        uint64_t bytes = 0;
        if (tree_read(tar_fd, &header, BLOCK) != (ssize_t)BLOCK) {
            return damaged(u);
        }
        if (is_zero(&header)) {
            return check_end(u, tar_fd);
        }
        if (memcmp(header.magic, "ustar", 6) != 0 || memcmp(header.version, "00", 2) != 0 || !checksum_is_good(&header) ||
            !octal(header.size, sizeof header.size, &bytes)) {
            return update_fail(u, WECKD_ERR_FORMAT, "expected a POSIX tar by `weckd-edge export tar`, found something else");
        }
        if (header.type != '0') {
            return update_fail(u, WECKD_ERR_LINK, "%.100s: the tar holds a link, a folder or a special entry", header.name);
        }
        if (!read_path(&header, path)) {
            return update_fail(u, WECKD_ERR_LISTING, "the tar holds a path that a bundle may not hold");
        }
        if (strcmp(path, "device") == 0 || strncmp(path, "device/", 7) == 0) {
            return update_fail(u, WECKD_ERR_LISTING, "%.260s: what is built on a device is not part of an update", path);
        }
        if (budget->files_left == 0 || bytes > budget->bytes_left) {
            return update_fail(u, WECKD_ERR_LIMIT, "the tar holds more than the %u files or %u MiB that are taken",
                               UPDATE_MOST_FILES, u->most_mib);
        }
        budget->files_left--;
        budget->bytes_left -= bytes;
        int status = unpack_file(u, tar_fd, to_fd, path, bytes);
        if (status != WECKD_OK) {
            return status;
        }
    }
}
