/* Files below the bundle's folder, opened without following a link. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_BUNDLE_FILES_H
#define WECKD_BUNDLE_FILES_H

#include "core/digest.h"
#include "core/errors.h"

/* Open a folder; the descriptor is the caller's to close. Negative: a weckd_status. */
int weckd_folder_open(const char *folder, weckd_error error);

/* Open a regular file by its path below `folder_fd`; no part of the path may be a link. Returns a descriptor, its size in
 * `*bytes`, or a negative weckd_status. */
int weckd_file_open(int folder_fd, const char *path, uint64_t *bytes, weckd_error error);

/* Read a whole file of at most `max` bytes into new memory, which the caller frees; a NUL follows the bytes. */
int weckd_file_slurp(int folder_fd, const char *path, uint64_t max, char **data, size_t *bytes, weckd_error error);

/* Check size and SHA-256 of a file; where `into` is not NULL, its `bytes` bytes are also stored there. */
int weckd_file_check(int folder_fd, const char *path, uint64_t bytes, const uint8_t digest[WECKD_SHA256_BYTES], void *into,
                     weckd_error error);

/* Call `found` with the path of every file below the folder, in no order, until it returns other than 0. Links, special
 * files, and folders more than 16 deep are errors. */
int weckd_files_walk(int folder_fd, int (*found)(const char *path, void *context, weckd_error error), void *context,
                     weckd_error error);

#endif
