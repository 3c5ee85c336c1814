/* Verify a bundle without loading its model. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_VERIFY_H
#define WECKD_VERIFY_H

#include "bundle/manifest.h"

/* Check the signature (where a key is given), the manifest, the lowest version, and that files and list agree; digests are
 * the next step. The caller frees the manifest, whatever is returned. */
int weckd_verify_manifest(int folder_fd, const weckd_options *options, weckd_manifest *manifest, weckd_error error);

/* Check size and SHA-256 of every listed file. Where `buffer_of` returns an address for a file, its bytes are stored there. */
int weckd_verify_files(int folder_fd, const weckd_manifest *manifest, void *(*buffer_of)(const char *path, void *context),
                       void *context, weckd_error error);

/* Check the caller's options. WECKD_ERR_ARGUMENT: one is unknown or out of its range. */
int weckd_options_check(const weckd_options *options, weckd_error error);

#endif
