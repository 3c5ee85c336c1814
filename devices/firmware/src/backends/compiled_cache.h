/* Compiled models, stored under the digest of everything they were compiled from. SPDX-License-Identifier: Apache-2.0
 *
 * The folder is trusted. Its files end with their own SHA-256, so that one that was cut short or damaged is compiled again.
 */
#ifndef WECKD_COMPILED_CACHE_H
#define WECKD_COMPILED_CACHE_H

#include "backends/backend.h"
#include "core/digest.h"

#define WECKD_CACHE_PATH_BYTES 4096

typedef struct weckd_cache_key {
    weckd_hash hash;
    char name[2 * WECKD_SHA256_BYTES + 1];
} weckd_cache_key;

void weckd_cache_key_start(weckd_cache_key *key);
void weckd_cache_key_add(weckd_cache_key *key, const char *text);
void weckd_cache_key_end(weckd_cache_key *key, const weckd_session_request *request); /* adds the digests of the model's files */

/* Return a stored model, which the caller frees; NULL: there is none, or it is damaged. */
char *weckd_cache_read(const char *folder, const weckd_cache_key *key, size_t *bytes);

/* Give the path to write to; false: the folder cannot be written. */
bool weckd_cache_begin(const char *folder, const weckd_cache_key *key, char path[WECKD_CACHE_PATH_BYTES]);

/* Rename the file to its place in one step, or remove it. */
void weckd_cache_end(const char *folder, const weckd_cache_key *key, const char *path, bool written);

#endif
