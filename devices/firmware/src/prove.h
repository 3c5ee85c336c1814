/* Prove a bundle whole, without a model. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_PROVE_H
#define WECKD_PROVE_H

#include "manifest.h"

/* Check the signature (where a key is given), the manifest, the lowest version, and that files and list agree; digests are
 * the next step. The caller frees the manifest, whatever is returned. */
int weckd_prove_manifest(int folder_fd, const weckd_options *options, weckd_manifest *manifest, weckd_why why);

/* Check size and SHA-256 of every listed file. Where `keep` returns an address for a file, its bytes are kept there. */
int weckd_prove_files(int folder_fd, const weckd_manifest *manifest, void *(*keep)(const char *path, void *context),
                      void *context, weckd_why why);

/* Refuse options that are not understood. */
int weckd_options_check(const weckd_options *options, weckd_why why);

#endif
