/* NumPy's array files, read row by row while they are hashed; nothing is allocated. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_NPY_H
#define WECKD_NPY_H

#include "bundle.h"

typedef struct weckd_npy {
    int fd;
    weckd_hash hash;
    uint64_t read;      /* bytes so far */
    uint64_t shape[4];
    size_t rank;
} weckd_npy;

/* Open a version 1.0 file in C order. type: "|u1" or "<f4". The caller closes, whatever is returned. */
int weckd_npy_open(weckd_npy *array, int folder_fd, const weckd_kept_file *file, const char *type, weckd_why why);

/* Read the next bytes of its data. */
int weckd_npy_next(weckd_npy *array, void *to, size_t bytes, weckd_why why);

/* Check that the file ends here and that its bytes are those that were sealed. */
int weckd_npy_end(weckd_npy *array, const weckd_kept_file *file, weckd_why why);

void weckd_npy_close(weckd_npy *array);

#endif
