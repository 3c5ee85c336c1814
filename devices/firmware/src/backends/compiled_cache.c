/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/compiled_cache.h"

#include "core/bounds.h"
#include "files/bundle_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_BYTES (2 * WECKD_SHA256_BYTES + 8)

void weckd_cache_key_start(weckd_cache_key *key) { weckd_hash_start(&key->hash); }

void weckd_cache_key_add(weckd_cache_key *key, const char *text) {
    weckd_hash_add(&key->hash, text, strlen(text) + 1); /* with the NUL: "ab", "c" is not "a", "bc" */
}

void weckd_cache_key_end(weckd_cache_key *key, const weckd_session_request *request) {
    uint8_t digest[WECKD_SHA256_BYTES];
    weckd_hash_add(&key->hash, request->graph.sha256, WECKD_SHA256_BYTES);
    if (request->weights.bytes > 0) {
        weckd_hash_add(&key->hash, request->weights.sha256, WECKD_SHA256_BYTES);
    }
    weckd_hash_end(&key->hash, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        (void)snprintf(key->name + 2 * i, 3, "%02x", digest[i]);
    }
}

static void digest_of(const char *data, size_t bytes, uint8_t digest[WECKD_SHA256_BYTES]) {
    weckd_hash hash;
    weckd_hash_start(&hash);
    weckd_hash_add(&hash, data, bytes);
    weckd_hash_end(&hash, digest);
}

char *weckd_cache_read(const char *folder, const weckd_cache_key *key, size_t *bytes) {
    char name[NAME_BYTES];
    char *data = NULL;
    size_t all = 0;
    int folder_fd = weckd_folder_open(folder, (weckd_error){NULL});
    if (folder_fd < 0) {
        return NULL;
    }
    (void)snprintf(name, sizeof name, "%s.blob", key->name);
    int status = weckd_file_slurp(folder_fd, name, WECKD_MAX_MODEL_BYTES, &data, &all, (weckd_error){NULL});
    (void)close(folder_fd);
    if (status != WECKD_OK) {
        return NULL;
    }
    uint8_t digest[WECKD_SHA256_BYTES];
    *bytes = all < sizeof digest ? 0 : all - sizeof digest;
    digest_of(data, *bytes, digest);
    if (all < sizeof digest || memcmp(digest, data + *bytes, sizeof digest) != 0) {
        free(data);
        return NULL;
    }
    return data;
}

bool weckd_cache_begin(const char *folder, const weckd_cache_key *key, char path[WECKD_CACHE_PATH_BYTES]) {
    int written = snprintf(path, WECKD_CACHE_PATH_BYTES, "%s/.%s.%ld", folder, key->name, (long)getpid());
    return written > 0 && written < WECKD_CACHE_PATH_BYTES && access(folder, W_OK) == 0;
}

/* Append the digest of what is there. */
static bool finish(const char *folder, const char *path) {
    char *data = NULL;
    size_t bytes = 0;
    uint8_t digest[WECKD_SHA256_BYTES];
    int folder_fd = weckd_folder_open(folder, (weckd_error){NULL});
    if (folder_fd < 0) {
        return false;
    }
    const char *name = path + strlen(folder) + 1;
    int status = weckd_file_slurp(folder_fd, name, WECKD_MAX_MODEL_BYTES, &data, &bytes, (weckd_error){NULL});
    (void)close(folder_fd);
    if (status != WECKD_OK) {
        return false;
    }
    digest_of(data, bytes, digest);
    free(data);
    int fd = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, digest, sizeof digest) == (ssize_t)sizeof digest && fsync(fd) == 0;
    return fd >= 0 && close(fd) == 0 && done;
}

void weckd_cache_end(const char *folder, const weckd_cache_key *key, const char *path, bool written) {
    char final[WECKD_CACHE_PATH_BYTES + NAME_BYTES];
    (void)snprintf(final, sizeof final, "%s/%s.blob", folder, key->name);
    if (!written || !finish(folder, path) || rename(path, final) != 0) {
        (void)unlink(path);
    }
}
