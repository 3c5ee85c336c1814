/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/choose.h"

#include "files/bundle_files.h"
#include "files/path.h"
#include "formats/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_FILE WECKD_DEVICE_FOLDER "/engine.json"
#define MAX_RECORD_BYTES (1ull << 20)

void weckd_choice_free(weckd_choice *choice) {
    if (choice->runtime != NULL) {
        choice->backend->unload(choice->runtime);
    }
    memset(choice, 0, sizeof *choice);
}

/* Tell whether a path of the record stays in the device's folder. */
static bool is_below(const char *path) {
    return path[0] != '/' && path[0] != '\0' && strstr(path, "..") == NULL && strchr(path, '\\') == NULL;
}

/* Find the engine that `weckd-edge finalize` has built on this device from this very graph. */
static bool find_engine(int folder_fd, const weckd_manifest *manifest, weckd_choice *choice) {
    char *text = NULL;
    size_t bytes = 0;
    if (weckd_file_slurp(folder_fd, RECORD_FILE, MAX_RECORD_BYTES, &text, &bytes, (weckd_error){NULL}) != WECKD_OK) {
        return false;
    }
    json_t *root = weckd_json_read(text, bytes, RECORD_FILE, (weckd_error){NULL});
    free(text);
    const json_t *engine = json_object_get(root, "engine");
    const char *path = weckd_json_text(engine, "path", WECKD_MAX_PATH - sizeof WECKD_DEVICE_FOLDER - 1);
    const char *digest = weckd_json_text(engine, "sha256", 64);
    const char *onnx = weckd_json_text(json_object_get(root, "identity"), "onnx_sha256", 64);
    uint8_t graph[WECKD_SHA256_BYTES];
    weckd_file_ref *file = &choice->model.files[0];
    bool good = path != NULL && is_below(path) && digest != NULL && weckd_hex_read(digest, strlen(digest), file->sha256) &&
                weckd_json_count(engine, "bytes", WECKD_MAX_MODEL_BYTES, &file->bytes) && onnx != NULL &&
                weckd_hex_read(onnx, strlen(onnx), graph) && memcmp(graph, manifest->onnx.sha256, sizeof graph) == 0;
    if (good) {
        (void)snprintf(choice->device_path, sizeof choice->device_path, "%s/%s", WECKD_DEVICE_FOLDER, path);
        file->path = choice->device_path;
        choice->model.count = 1;
    }
    json_decref(root);
    return good;
}

static bool find_files(int folder_fd, const weckd_manifest *manifest, const weckd_backend *backend, weckd_choice *choice) {
    memset(&choice->model, 0, sizeof choice->model);
    choice->model.backend = backend->name;
    if (backend->from_device) {
        return find_engine(folder_fd, manifest, choice);
    }
    if (weckd_manifest_model(manifest, backend->name, &choice->model)) {
        return true;
    }
    if (backend->reads_onnx) {
        choice->model.files[0] = manifest->onnx;
        choice->model.count = 1;
    }
    return backend->reads_onnx;
}

static uint64_t bytes_of(const weckd_model *model) {
    uint64_t sum = 0; /* at most WECKD_MAX_MODEL_BYTES: manifest and record were held to it */
    for (size_t k = 0; k < model->count; k++) {
        sum += model->files[k].bytes;
    }
    return sum;
}

int weckd_choose(int folder_fd, const weckd_manifest *manifest, const weckd_options *options, bool load,
                 weckd_choice *choice, weckd_error error) {
    memset(choice, 0, sizeof *choice);
    bool is_known = false, has_failed = false;
    int status = WECKD_ERR_BACKEND;
    (void)weckd_fail(error, status, "this build has no backend with a model in the bundle");
    for (size_t i = 0; weckd_backends[i] != NULL; i++) {
        const weckd_backend *backend = weckd_backends[i];
        if (options->backend != NULL && strcmp(options->backend, backend->name) != 0) {
            continue;
        }
        is_known = true;
        if (!find_files(folder_fd, manifest, backend, choice)) {
            continue;
        }
        choice->backend = backend;
        choice->bytes = bytes_of(&choice->model);
        int loaded = load ? backend->load(options->library, &choice->runtime, has_failed ? (weckd_error){NULL} : error) : WECKD_OK;
        if (loaded == WECKD_OK) {
            return WECKD_OK;
        }
        status = has_failed ? status : loaded;
        has_failed = true; /* where none loads, the first one's error is reported: it would have been chosen */
    }
    if (options->backend != NULL && !is_known) {
        return weckd_fail(error, WECKD_ERR_BACKEND, "this build has no backend called '%.60s'", options->backend);
    }
    return status;
}
