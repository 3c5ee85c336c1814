/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle/verify.h"

#include "bundle/signature.h"
#include "files/bundle_files.h"
#include "files/path.h"

#include <stdlib.h>
#include <string.h>

typedef struct listing {
    const weckd_manifest *manifest;
    bool seen[WECKD_MAX_FILES];
    bool is_signed;
} listing;

static int found_file(const char *path, void *context, weckd_error error) {
    listing *all = context;
    if (strcmp(path, WECKD_SIGNATURE_FILE) == 0) {
        all->is_signed = true;
        return WECKD_OK;
    }
    if (strcmp(path, WECKD_MANIFEST_FILE) == 0 || weckd_path_is_device(path)) {
        return WECKD_OK;
    }
    const weckd_file_ref *ref = weckd_manifest_find(all->manifest, path);
    if (ref == NULL) {
        return weckd_fail(error, WECKD_ERR_LISTING, "%.150s: not listed in manifest.json; it was added", path);
    }
    all->seen[ref - all->manifest->files] = true;
    return WECKD_OK;
}

static int check_listing(int folder_fd, weckd_manifest *manifest, const char *key, weckd_error error) {
    listing *all = calloc(1, sizeof *all);
    if (all == NULL) {
        return weckd_fail(error, WECKD_ERR_MEMORY, "no memory for the bundle's listing");
    }
    all->manifest = manifest;
    int status = weckd_files_walk(folder_fd, found_file, all, error);
    for (size_t i = 0; status == WECKD_OK && i < manifest->count; i++) {
        if (!all->seen[i]) {
            status = weckd_fail(error, WECKD_ERR_LISTING, "%.180s: missing", manifest->files[i].path);
        }
    }
    manifest->contract.signature = key != NULL ? WECKD_SIGNED_VALID : all->is_signed ? WECKD_SIGNED_UNCHECKED : WECKD_UNSIGNED;
    free(all);
    return status;
}

static int check_signature(int folder_fd, const char *key, const char *text, size_t bytes, weckd_error error) {
    char *signature = NULL;
    size_t signature_bytes = 0;
    int status = weckd_file_slurp(folder_fd, WECKD_SIGNATURE_FILE, WECKD_MAX_SIGNATURE_BYTES, &signature, &signature_bytes, error);
    if (status == WECKD_ERR_LISTING) {
        return weckd_fail(error, WECKD_ERR_UNSIGNED, "signature: expected one by the configured key, found none");
    }
    if (status != WECKD_OK) {
        return status == WECKD_ERR_LIMIT ? WECKD_ERR_SIGNATURE : status;
    }
    uint8_t digest[WECKD_SHA256_BYTES];
    weckd_hash hash;
    weckd_hash_start(&hash);
    weckd_hash_add(&hash, text, bytes);
    weckd_hash_end(&hash, digest);
    status = weckd_signature_check(signature, signature_bytes, key, digest, error);
    free(signature);
    return status;
}

int weckd_verify_manifest(int folder_fd, const weckd_options *options, weckd_manifest *manifest, weckd_error error) {
    memset(manifest, 0, sizeof *manifest);
    char *text = NULL;
    size_t bytes = 0;
    int status = weckd_file_slurp(folder_fd, WECKD_MANIFEST_FILE, WECKD_MAX_MANIFEST_BYTES, &text, &bytes, error);
    if (status == WECKD_ERR_LISTING) {
        return weckd_fail(error, WECKD_ERR_FORMAT, "manifest.json: expected a bundle, found none");
    }
    if (status == WECKD_OK && options->public_key_pem != NULL) {
        status = check_signature(folder_fd, options->public_key_pem, text, bytes, error);
    }
    if (status == WECKD_OK) {
        status = weckd_manifest_read(text, bytes, manifest, error);
    }
    free(text);
    if (status != WECKD_OK) {
        return status;
    }
    if (manifest->contract.version < options->min_version) {
        return weckd_fail(error, WECKD_ERR_ROLLBACK, "manifest.json: expected version %llu or newer, found %llu",
                          (unsigned long long)options->min_version, (unsigned long long)manifest->contract.version);
    }
    return check_listing(folder_fd, manifest, options->public_key_pem, error);
}

int weckd_verify_files(int folder_fd, const weckd_manifest *manifest, void *(*buffer_of)(const char *path, void *context),
                       void *context, weckd_error error) {
    for (size_t i = 0; i < manifest->count; i++) {
        const weckd_file_ref *ref = &manifest->files[i];
        void *into = buffer_of == NULL ? NULL : buffer_of(ref->path, context);
        int status = weckd_file_check(folder_fd, ref->path, ref->bytes, ref->sha256, into, error);
        if (status != WECKD_OK) {
            return status;
        }
    }
    return WECKD_OK;
}

int weckd_options_check(const weckd_options *options, weckd_error error) {
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++) {
        if (options->reserved[i] != 0) {
            return weckd_fail(error, WECKD_ERR_ARGUMENT, "options: reserved fields must be 0");
        }
    }
    if ((options->max_source_width == 0) != (options->max_source_height == 0) || options->max_source_width > WECKD_MAX_SIDE ||
        options->max_source_height > WECKD_MAX_SIDE || options->threads > 1024) {
        return weckd_fail(error, WECKD_ERR_ARGUMENT, "options: largest source %u x %u (both 0, or both 1 to %d), threads %u",
                          options->max_source_width, options->max_source_height, WECKD_MAX_SIDE, options->threads);
    }
    return WECKD_OK;
}
