/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle/manifest_parts.h"

#include "files/path.h"
#include "formats/json.h"

#include <stdlib.h>
#include <string.h>

static const weckd_key FILE_KEYS[] = {
    {"path", WECKD_TEXT, false},
    {"sha256", WECKD_TEXT, false},
    {"bytes", WECKD_WHOLE, false},
    {0},
};

int weckd_manifest_bad(weckd_error error, const char *what) {
    return weckd_fail(error, WECKD_ERR_FORMAT, "manifest.json: %s", what);
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const weckd_file_ref *)a)->path, ((const weckd_file_ref *)b)->path);
}

const weckd_file_ref *weckd_manifest_find(const weckd_manifest *manifest, const char *path) {
    weckd_file_ref wanted = {.path = path};
    return manifest->count == 0 ? NULL : bsearch(&wanted, manifest->files, manifest->count, sizeof wanted, by_path);
}

static int fail_path(const weckd_file_ref *ref, weckd_error error) {
    return weckd_fail(error, WECKD_ERR_LISTING, "manifest.json: '%.150s' is not a path that a bundle may list", ref->path);
}

int weckd_file_ref_read(const json_t *from, weckd_file_ref *ref, weckd_error error) {
    int status = weckd_json_expect(from, FILE_KEYS, "manifest.json: a file", error);
    if (status != WECKD_OK) {
        return status;
    }
    const char *digest = weckd_json_text(from, "sha256", 2 * WECKD_SHA256_BYTES);
    ref->path = weckd_json_text(from, "path", SIZE_MAX);
    if (digest == NULL || !weckd_hex_read(digest, strlen(digest), ref->sha256) ||
        !weckd_json_count(from, "bytes", INT64_MAX, &ref->bytes)) {
        return weckd_manifest_bad(error, "a file's SHA-256 is not 64 lower-case hexadecimal digits, or its size is negative");
    }
    return weckd_path_is_plain(ref->path) ? WECKD_OK : fail_path(ref, error);
}

int weckd_manifest_read_ref(const json_t *from, weckd_file_ref *ref, weckd_error error) {
    int status = weckd_file_ref_read(from, ref, error);
    if (status != WECKD_OK) {
        return status;
    }
    bool is_reserved = weckd_path_is_device(ref->path) || strcmp(ref->path, WECKD_MANIFEST_FILE) == 0 ||
                       strcmp(ref->path, WECKD_SIGNATURE_FILE) == 0;
    return is_reserved ? fail_path(ref, error) : WECKD_OK;
}

int weckd_manifest_read_listed(const weckd_manifest *manifest, const json_t *from, weckd_file_ref *ref, weckd_error error) {
    int status = weckd_manifest_read_ref(from, ref, error);
    if (status != WECKD_OK) {
        return status;
    }
    const weckd_file_ref *listed = weckd_manifest_find(manifest, ref->path);
    if (listed == NULL || listed->bytes != ref->bytes || memcmp(listed->sha256, ref->sha256, sizeof ref->sha256) != 0) {
        return weckd_fail(error, WECKD_ERR_LISTING, "manifest.json: uses '%.150s', which is not the file of that name in its list",
                          ref->path);
    }
    return WECKD_OK;
}

int weckd_manifest_read_files(weckd_manifest *manifest, weckd_error error) {
    const json_t *list = json_object_get(manifest->root, "files");
    size_t count = json_array_size(list);
    if (count > WECKD_MAX_FILES) {
        return weckd_fail(error, WECKD_ERR_LIMIT, "manifest.json: lists %zu files, at most %d are accepted", count, WECKD_MAX_FILES);
    }
    manifest->files = calloc(count + 1, sizeof *manifest->files);
    if (manifest->files == NULL) {
        return weckd_fail(error, WECKD_ERR_MEMORY, "no memory for a list of %zu files", count);
    }
    for (size_t i = 0; i < count; i++) {
        int status = weckd_manifest_read_ref(json_array_get(list, i), &manifest->files[i], error);
        if (status != WECKD_OK) {
            return status;
        }
    }
    manifest->count = count;
    qsort(manifest->files, count, sizeof *manifest->files, by_path);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(manifest->files[i - 1].path, manifest->files[i].path) == 0) {
            return weckd_fail(error, WECKD_ERR_LISTING, "manifest.json: lists '%.150s' twice", manifest->files[i].path);
        }
    }
    return WECKD_OK;
}
