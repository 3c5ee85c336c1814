/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/npy.h"

#include "files/bundle_files.h"
#include "files/file_io.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "\x93NUMPY\x01\x00"
#define MAGIC_BYTES 8
#define MAX_HEADER_BYTES 1024

static int bad(weckd_error error) {
    return weckd_fail(error, WECKD_ERR_FORMAT, "selftest: an array is not as this format has it");
}

/* Read a whole number as Python writes it: no sign, no zero in front. */
static const char *read_count(const char *text, uint64_t *count) {
    *count = 0;
    if (*text < '1' || *text > '9') {
        return NULL;
    }
    for (; *text >= '0' && *text <= '9'; text++) {
        *count = *count * 10 + (uint64_t)(*text - '0');
        if (*count > UINT32_MAX) {
            return NULL;
        }
    }
    return text;
}

/* Compare a header with the one that NumPy writes for this type and these sides; only the first side is free. */
static bool read_header(const char *header, const char *type, const uint32_t *sides, size_t count, uint64_t *first) {
    char before[96], after[96];
    int length = snprintf(before, sizeof before, "{'descr': '%s', 'fortran_order': False, 'shape': (", type), at = 0;
    for (size_t i = 0; i < count; i++) {
        at += snprintf(after + at, sizeof after - (size_t)at, ", %u", (unsigned)sides[i]);
    }
    at += snprintf(after + at, sizeof after - (size_t)at, "), }");
    const char *rest = strncmp(header, before, (size_t)length) == 0 ? read_count(header + length, first) : NULL;
    if (rest == NULL || strncmp(rest, after, (size_t)at) != 0) {
        return false;
    }
    rest += at;
    rest += strspn(rest, " ");
    return strcmp(rest, "\n") == 0;
}

int weckd_npy_open(weckd_npy *array, int folder_fd, const weckd_golden_file *file, const weckd_npy_type *type, weckd_error error) {
    uint64_t bytes = 0, each = type->bytes;
    char head[MAGIC_BYTES + 2], header[MAX_HEADER_BYTES + 1];
    weckd_hash_start(&array->hash);
    array->read = 0;
    array->fd = weckd_file_open(folder_fd, file->path, &bytes, error);
    if (array->fd < 0) {
        return array->fd;
    }
    if (bytes != file->bytes) {
        return weckd_fail(error, WECKD_ERR_DIGEST, "%.180s: was changed since the bundle was opened", file->path);
    }
    int status = weckd_npy_next(array, head, sizeof head, error);
    if (status != WECKD_OK) {
        return status;
    }
    size_t length = (size_t)(uint8_t)head[MAGIC_BYTES] | (size_t)(uint8_t)head[MAGIC_BYTES + 1] << 8;
    if (memcmp(head, MAGIC, MAGIC_BYTES) != 0 || length > MAX_HEADER_BYTES) {
        return bad(error);
    }
    status = weckd_npy_next(array, header, length, error);
    if (status != WECKD_OK) {
        return status;
    }
    header[length] = '\0';
    for (size_t i = 0; i < type->count; i++) {
        each *= type->sides[i]; /* a frame has under 2^28 bytes, and there are under 2^32 frames */
    }
    if (strlen(header) != length || !read_header(header, type->descr, type->sides, type->count, &array->count) ||
        array->read + array->count * each != bytes) {
        return bad(error);
    }
    return WECKD_OK;
}

int weckd_npy_next(weckd_npy *array, void *to, size_t bytes, weckd_error error) {
    ssize_t got = weckd_read_all(array->fd, to, bytes);
    if (got < 0 || (size_t)got != bytes) {
        return got < 0 ? weckd_fail(error, WECKD_ERR_IO, "selftest: an array cannot be read") : bad(error);
    }
    weckd_hash_add(&array->hash, to, bytes);
    array->read += bytes;
    return WECKD_OK;
}

int weckd_npy_end(weckd_npy *array, const weckd_golden_file *file, weckd_error error) {
    uint8_t digest[WECKD_SHA256_BYTES];
    weckd_hash_end(&array->hash, digest);
    return memcmp(digest, file->sha256, sizeof digest) == 0
               ? WECKD_OK
               : weckd_fail(error, WECKD_ERR_DIGEST, "%.180s: was changed since the bundle was opened", file->path);
}

void weckd_npy_close(weckd_npy *array) {
    if (array->fd >= 0) {
        (void)close(array->fd);
        array->fd = -1;
    }
}
