/* What this device chose to run, as `weckd-edge finalize` wrote it. SPDX-License-Identifier: Apache-2.0
 *
 * Nothing signs the file, so it can do no more than name a model of the manifest, or an engine that was built here; what proves
 * either is the manifest's. Where any of it is wrong, it chose nothing, and the manifest's order holds.
 */
#include "runtime/choose.h"

#include "bundle/manifest_parts.h"
#include "files/bundle_files.h"
#include "files/path.h"
#include "formats/json.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHOICE_FILE WECKD_DEVICE_FOLDER "/choice.json"
#define MAX_CHOICE_BYTES (1ull << 20)

static const weckd_key KEYS[] = {
    {"key", WECKD_TEXT, false},
    {"identity", WECKD_OBJECT, false},
    {"backend", WECKD_TEXT, false},
    {"precision", WECKD_TEXT, false},
    {"files", WECKD_LIST, false},
    {"takes", WECKD_TEXT, false},
    {"graph_sha256", WECKD_TEXT, false},
    {"expected", WECKD_OBJECT, false},
    {"tolerance", WECKD_NUMBER, false},
    {"frames", WECKD_WHOLE, false},
    {"max_abs", WECKD_NUMBER, false},
    {"flips", WECKD_WHOLE, false},
    {"latency_ns", WECKD_NUMBERS, true},
    {"left_out", WECKD_TEXTS, true},
    {"previous", WECKD_TEXT_OR_NULL, true},
    {"schema_version", WECKD_WHOLE, true},
    {0},
};

bool weckd_entry_is_built_here(const weckd_entry *entry) { return entry->count > 0 && weckd_path_is_device(entry->files[0].path); }

static bool is_same_file(const weckd_file_ref *a, const weckd_file_ref *b) {
    return strcmp(a->path, b->path) == 0 && a->bytes == b->bytes && memcmp(a->sha256, b->sha256, sizeof a->sha256) == 0;
}

/* Read the values that a choice has in common with an entry of the manifest. */
static bool read_entry(const weckd_manifest *manifest, const json_t *record, weckd_entry *entry) {
    const json_t *files = json_object_get(record, "files");
    bool takes_pixels = weckd_json_is_one_of(record, "takes", (const char *const[]){"pixels", NULL});
    *entry = (weckd_entry){
        .backend = weckd_json_text(record, "backend", SIZE_MAX),
        .precision = weckd_precision_of(record),
        .source = weckd_json_text(record, "graph_sha256", SIZE_MAX),
        .count = json_array_size(files),
        .tolerance = json_number_value(json_object_get(record, "tolerance")),
        .takes_pixels = takes_pixels,
    };
    bool good = entry->precision != NULL && entry->count >= 1 && entry->count <= WECKD_MAX_MODEL_FILES &&
                (takes_pixels || weckd_json_is_one_of(record, "takes", (const char *const[]){"frame", NULL})) &&
                weckd_tolerance_is_good(json_object_get(record, "tolerance")) &&
                weckd_manifest_read_listed(manifest, json_object_get(record, "expected"), &entry->expected,
                                           (weckd_error){NULL}) == WECKD_OK;
    for (size_t k = 0; good && k < entry->count; k++) {
        good = weckd_file_ref_read(json_array_get(files, k), &entry->files[k], (weckd_error){NULL}) == WECKD_OK;
    }
    return good;
}

/* Find the manifest's own entry of this choice, which alone has settings. The choice was made for this very manifest. */
static bool find_in_manifest(const weckd_manifest *manifest, const json_t *record, weckd_entry *entry) {
    const weckd_entry chosen = *entry;
    const json_t *identity = json_object_get(record, "identity");
    if (!weckd_json_is_one_of(identity, "manifest_sha256", (const char *const[]){manifest->contract.id, NULL})) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(manifest->models); i++) {
        if (!weckd_manifest_entry(manifest, i, entry) || strcmp(entry->backend, chosen.backend) != 0 ||
            strcmp(entry->precision, chosen.precision) != 0) {
            continue;
        }
        bool same = entry->count == chosen.count && strcmp(entry->source, chosen.source) == 0 &&
                    is_same_file(&entry->expected, &chosen.expected) && entry->tolerance == chosen.tolerance &&
                    entry->takes_pixels == chosen.takes_pixels;
        for (size_t k = 0; same && k < entry->count; k++) {
            same = is_same_file(&entry->files[k], &chosen.files[k]);
        }
        return same; /* no other entry has this backend and this precision */
    }
    return false;
}

/* Tell whether a file is there, in its size. */
static bool is_there(int folder_fd, const weckd_file_ref *file) {
    uint64_t bytes = 0;
    int fd = weckd_file_open(folder_fd, file->path, &bytes, (weckd_error){NULL});
    if (fd >= 0) {
        (void)close(fd);
    }
    return fd >= 0 && bytes == file->bytes;
}

/* Check files that were built here: the backend runs such files, and they were made from this bundle's graph. */
static bool was_built_here(int folder_fd, const weckd_manifest *manifest, weckd_entry *entry) {
    const weckd_backend *backend = weckd_backend_find(entry->backend);
    uint8_t graph[WECKD_SHA256_BYTES];
    bool good = backend != NULL && backend->built_here && (!entry->takes_pixels || manifest->graph_takes_pixels) &&
                strlen(entry->source) == 2 * sizeof graph && weckd_hex_read(entry->source, 2 * sizeof graph, graph) &&
                memcmp(graph, manifest->onnx.sha256, sizeof graph) == 0;
    uint64_t bytes = 0;
    for (size_t k = 0; good && k < entry->count; k++) {
        const weckd_file_ref *file = &entry->files[k];
        good = weckd_path_is_device(file->path) && file->bytes <= WECKD_MAX_MODEL_BYTES &&
               (bytes += file->bytes) <= WECKD_MAX_MODEL_BYTES;
        for (size_t i = 0; good && i < k; i++) {
            good = strcmp(entry->files[i].path, file->path) != 0;
        }
        good = good && is_there(folder_fd, file);
    }
    return good && weckd_manifest_recipe(manifest, entry->backend, &entry->expected, &entry->tolerance);
}

json_t *weckd_choice_read(int folder_fd, const weckd_manifest *manifest, weckd_entry *entry) {
    char *text = NULL;
    size_t bytes = 0;
    if (weckd_file_slurp(folder_fd, CHOICE_FILE, MAX_CHOICE_BYTES, &text, &bytes, (weckd_error){NULL}) != WECKD_OK) {
        return NULL;
    }
    json_t *record = NULL;
    int status = weckd_json_read(text, bytes, CHOICE_FILE, &record, (weckd_error){NULL});
    free(text);
    const json_t *format = json_object_get(record, "schema_version");
    if (status == WECKD_OK && weckd_json_expect(record, KEYS, CHOICE_FILE, (weckd_error){NULL}) == WECKD_OK &&
        (format == NULL || json_integer_value(format) == WECKD_BUNDLE_FORMAT) && read_entry(manifest, record, entry) &&
        (weckd_entry_is_built_here(entry) ? was_built_here(folder_fd, manifest, entry)
                                          : find_in_manifest(manifest, record, entry))) {
        return record;
    }
    json_decref(record);
    return NULL;
}
