/* SPDX-License-Identifier: Apache-2.0 */
#include "npy.h"

#include "files.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "\x93NUMPY\x01\x00"
#define MAGIC_BYTES 8
#define MOST_HEADER_BYTES 1024

static int bad(weckd_why why) {
    return weckd_fail(why, WECKD_ERR_FORMAT, "selftest: an array is not as this format has it");
}

/* Find what follows `'key': ` in the header's dictionary. */
static const char *entry(const char *header, const char *key) {
    const char *found = strstr(header, key);
    return found == NULL ? NULL : found + strlen(key);
}

static bool read_shape(const char *text, weckd_npy *array) {
    array->rank = 0;
    while (*text >= '0' && *text <= '9') {
        if (array->rank == 4) {
            return false;
        }
        char *end = NULL;
        unsigned long long side = strtoull(text, &end, 10);
        if (side > UINT32_MAX || (*end != ',' && *end != ')')) {
            return false;
        }
        array->shape[array->rank++] = side;
        text = *end == ',' && end[1] == ' ' ? end + 2 : *end == ',' ? end + 1 : end;
    }
    return *text == ')';
}

int weckd_npy_open(weckd_npy *array, int folder_fd, const weckd_kept_file *file, const char *type, weckd_why why) {
    uint64_t bytes = 0;
    char head[MAGIC_BYTES + 2], header[MOST_HEADER_BYTES + 1];
    weckd_hash_start(&array->hash);
    array->read = 0;
    array->fd = weckd_file_open(folder_fd, file->path, &bytes, why);
    if (array->fd < 0) {
        return array->fd;
    }
    if (bytes != file->bytes) {
        return weckd_fail(why, WECKD_ERR_DIGEST, "%.180s: was changed since the bundle was opened", file->path);
    }
    int status = weckd_npy_next(array, head, sizeof head, why);
    if (status != WECKD_OK) {
        return status;
    }
    size_t length = (size_t)(uint8_t)head[MAGIC_BYTES] | (size_t)(uint8_t)head[MAGIC_BYTES + 1] << 8;
    if (memcmp(head, MAGIC, MAGIC_BYTES) != 0 || length > MOST_HEADER_BYTES) {
        return bad(why);
    }
    status = weckd_npy_next(array, header, length, why);
    if (status != WECKD_OK) {
        return status;
    }
    header[length] = '\0';
    const char *kind = entry(header, "'descr': '"), *order = entry(header, "'fortran_order': ");
    const char *shape = entry(header, "'shape': (");
    if (kind == NULL || order == NULL || shape == NULL || strncmp(kind, type, strlen(type)) != 0 ||
        kind[strlen(type)] != '\'' || strncmp(order, "False", 5) != 0 || !read_shape(shape, array)) {
        return bad(why);
    }
    return WECKD_OK;
}

int weckd_npy_next(weckd_npy *array, void *to, size_t bytes, weckd_why why) {
    ssize_t got = weckd_file_read(array->fd, to, bytes);
    if (got < 0 || (size_t)got != bytes) {
        return got < 0 ? weckd_fail(why, WECKD_ERR_IO, "selftest: an array cannot be read") : bad(why);
    }
    weckd_hash_add(&array->hash, to, bytes);
    array->read += bytes;
    return WECKD_OK;
}

int weckd_npy_end(weckd_npy *array, const weckd_kept_file *file, weckd_why why) {
    if (array->read != file->bytes) {
        return bad(why);
    }
    uint8_t digest[WECKD_SHA256_BYTES];
    weckd_hash_end(&array->hash, digest);
    return memcmp(digest, file->sha256, sizeof digest) == 0
               ? WECKD_OK
               : weckd_fail(why, WECKD_ERR_DIGEST, "%.180s: was changed since the bundle was opened", file->path);
}

void weckd_npy_close(weckd_npy *array) {
    if (array->fd >= 0) {
        (void)close(array->fd);
        array->fd = -1;
    }
}
