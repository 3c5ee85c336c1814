/* Read and check the guard's file. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_GUARD_FILE_H
#define WECKD_GUARD_FILE_H

#include "bundle/manifest.h"
#include "guard/guard.h"

#define WECKD_GUARD_MAX_BYTES (1u << 20) /* bytes of the guard's file */

/* Parse the bytes of the guard's file. */
int weckd_guard_parse(const char *text, size_t bytes, weckd_guard *guard, weckd_error error);

/* Read and check the file that a manifest names, below an open folder; `*guard` may be NULL. Nothing is done where the
 * manifest has none. */
int weckd_guard_read(int folder_fd, const weckd_manifest *manifest, weckd_guard *guard, weckd_error error);

#endif
