/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle/manifest_parts.h"

#include "files/path.h"
#include "formats/json.h"

#include <string.h>

static const weckd_key MODEL_KEYS[] = {
    {"backend", WECKD_TEXT, false},
    {"backend_version", WECKD_TEXT, false},
    {"precision", WECKD_TEXT, false},
    {"kind", WECKD_TEXT, false},
    {"files", WECKD_LIST, false},
    {"source_sha256", WECKD_TEXT, false},
    {"detail", WECKD_TEXT_LIST, true},
    {"settings", WECKD_TEXTS, true},
    {"schema_version", WECKD_WHOLE, true},
    {0},
};

/* Every setting that a model of a bundle may name. The backend sets each of them itself; nothing else of a manifest reaches
 * a runtime. */
static const struct setting {
    const char *backend, *name, *value;
} SETTINGS[] = {{"openvino", "INFERENCE_PRECISION_HINT", "f32"}};

int weckd_manifest_read_onnx(weckd_manifest *manifest, weckd_error error) {
    int status = weckd_manifest_read_listed(manifest, json_object_get(manifest->root, "onnx"), &manifest->onnx, error);
    if (status != WECKD_OK) {
        return status;
    }
    if (manifest->onnx.bytes > WECKD_MAX_MODEL_BYTES) {
        return weckd_fail(error, WECKD_ERR_LIMIT, "manifest.json: a graph of more than %llu bytes",
                          (unsigned long long)WECKD_MAX_MODEL_BYTES);
    }
    return WECKD_OK;
}

static int read_settings(const json_t *model, weckd_error error) {
    json_t *settings = json_object_get(model, "settings");
    const char *name;
    const json_t *value;
    json_object_foreach(settings, name, value) {
        size_t i = 0, count = sizeof SETTINGS / sizeof SETTINGS[0];
        while (i < count && (strcmp(weckd_json_text(model, "backend", SIZE_MAX), SETTINGS[i].backend) != 0 ||
                             strcmp(name, SETTINGS[i].name) != 0 || strcmp(json_string_value(value), SETTINGS[i].value) != 0)) {
            i++;
        }
        if (i == count) {
            return weckd_fail(error, WECKD_ERR_FORMAT, "manifest.json: a model names the setting %.60s = %.60s, which this format "
                              "does not have", name, json_string_value(value));
        }
    }
    return WECKD_OK;
}

/* Check the files of a model that runs as it is: few, not too large, and no doubt which is the graph and which the weights. */
static int check_model_files(const weckd_manifest *manifest, const json_t *list, weckd_error error) {
    weckd_file_ref refs[WECKD_MAX_MODEL_FILES];
    size_t count = json_array_size(list), graphs = 0, weights = 0, twice = 0;
    uint64_t bytes = 0;
    if (count > WECKD_MAX_MODEL_FILES) {
        return weckd_fail(error, WECKD_ERR_LIMIT, "manifest.json: a model of %zu files, at most %d are accepted", count,
                          WECKD_MAX_MODEL_FILES);
    }
    for (size_t i = 0; i < count; i++) {
        int status = weckd_manifest_read_listed(manifest, json_array_get(list, i), &refs[i], error);
        if (status != WECKD_OK) {
            return status;
        }
        if (refs[i].bytes > WECKD_MAX_MODEL_BYTES || (bytes += refs[i].bytes) > WECKD_MAX_MODEL_BYTES) {
            return weckd_fail(error, WECKD_ERR_LIMIT, "manifest.json: a model of more than %llu bytes",
                              (unsigned long long)WECKD_MAX_MODEL_BYTES);
        }
        graphs += weckd_path_ends_with(refs[i].path, ".xml") || weckd_path_ends_with(refs[i].path, ".onnx");
        weights += weckd_path_ends_with(refs[i].path, ".bin");
        for (size_t k = 0; k < i; k++) {
            twice += strcmp(refs[k].path, refs[i].path) == 0;
        }
    }
    return count > 0 && graphs <= 1 && weights <= 1 && twice == 0
               ? WECKD_OK
               : weckd_manifest_bad(error, "a model has no file, a file twice, or more than one graph or one file of weights");
}

static int read_model(const weckd_manifest *manifest, const json_t *model, weckd_error error) {
    const json_t *files = json_object_get(model, "files"), *format = json_object_get(model, "schema_version");
    int status = weckd_json_expect(model, MODEL_KEYS, "manifest.json: a model", error);
    if (status != WECKD_OK) {
        return status;
    }
    status = read_settings(model, error);
    if (status != WECKD_OK) {
        return status;
    }
    for (size_t k = 0; k < json_array_size(files); k++) {
        weckd_file_ref ref;
        status = weckd_manifest_read_listed(manifest, json_array_get(files, k), &ref, error);
        if (status != WECKD_OK) {
            return status;
        }
    }
    if (!weckd_json_is_one_of(model, "kind", (const char *const[]){"model", "recipe", "preflight", NULL}) ||
        (format != NULL && json_integer_value(format) != WECKD_BUNDLE_FORMAT)) {
        return weckd_manifest_bad(error, "a model's 'kind' is unknown, or its 'schema_version' is not 1");
    }
    return weckd_json_is_one_of(model, "kind", (const char *const[]){"model", NULL}) ? check_model_files(manifest, files, error)
                                                                                    : WECKD_OK;
}

int weckd_manifest_read_models(weckd_manifest *manifest, weckd_error error) {
    manifest->models = json_object_get(manifest->root, "models");
    for (size_t i = 0; i < json_array_size(manifest->models); i++) {
        int status = read_model(manifest, json_array_get(manifest->models, i), error);
        if (status != WECKD_OK) {
            return status;
        }
    }
    return WECKD_OK;
}

bool weckd_manifest_model(const weckd_manifest *manifest, const char *backend, weckd_model *model) {
    for (size_t i = 0; i < json_array_size(manifest->models); i++) {
        const json_t *from = json_array_get(manifest->models, i), *files = json_object_get(from, "files");
        if (!weckd_json_is_one_of(from, "backend", (const char *const[]){backend, NULL}) ||
            !weckd_json_is_one_of(from, "kind", (const char *const[]){"model", NULL})) {
            continue;
        }
        model->backend = backend;
        model->count = json_array_size(files);
        for (size_t k = 0; k < model->count; k++) {
            (void)weckd_manifest_read_ref(json_array_get(files, k), &model->files[k], (weckd_error){NULL}); /* was checked before */
        }
        return true;
    }
    return false;
}
