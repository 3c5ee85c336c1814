/* NumPy's array files, read row by row while they are hashed; nothing is allocated. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_NPY_H
#define WECKD_NPY_H

#include "runtime/opened_bundle.h"

typedef struct weckd_npy {
    int fd;
    weckd_hash hash;
    uint64_t read;  /* bytes so far */
    uint64_t count; /* length of its first axis, at least 1 */
} weckd_npy;

/* Expected type and shape of an array file. Its header must be the one that NumPy writes for them, and its data must end where
 * the file ends. */
typedef struct weckd_npy_type {
    const char *descr; /* "|u1", "<f4" */
    size_t bytes;      /* bytes of one number */
    uint32_t sides[3]; /* lengths of the axes behind the first */
    size_t count;      /* number of those axes */
} weckd_npy_type;

/* Open a file of this type. The caller closes, whatever is returned. */
int weckd_npy_open(weckd_npy *array, int folder_fd, const weckd_golden_file *file, const weckd_npy_type *type, weckd_error error);

/* Read the next bytes of its data. */
int weckd_npy_next(weckd_npy *array, void *to, size_t bytes, weckd_error error);

/* Check that the bytes that were read are those that were sealed. */
int weckd_npy_end(weckd_npy *array, const weckd_golden_file *file, weckd_error error);

void weckd_npy_close(weckd_npy *array);

#endif
