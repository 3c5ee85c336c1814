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
    {"expected", WECKD_ANY, true},
    {"tolerance", WECKD_NUMBER_OR_NULL, true},
    {"int8_layers", WECKD_WHOLE_OR_NULL, true},
    {"layers", WECKD_WHOLE_OR_NULL, true},
    {"detail", WECKD_TEXT_LIST, true},
    {"settings", WECKD_TEXTS, true},
    {"schema_version", WECKD_WHOLE, true},
    {0},
};

#define PRECISION_HINT "INFERENCE_PRECISION_HINT"
#define HALF "f16"

/* Every setting that a model of a bundle may name. The backend sets each of them itself; nothing else of a manifest reaches
 * a runtime. */
static const struct setting {
    const char *backend, *precision, *name, *value;
} SETTINGS[] = {
    {"openvino", "int8", PRECISION_HINT, "f32"},
    {"openvino", "fp16", PRECISION_HINT, "f32"},
    {"openvino", "fp16", PRECISION_HINT, HALF},
    {"openvino", "fp32", PRECISION_HINT, "f32"},
};

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

static bool has_text(const json_t *model, const char *key, const char *text) {
    return weckd_json_is_one_of(model, key, (const char *const[]){text, NULL});
}

static bool is_setting(const json_t *model, const char *name, const char *value) {
    for (size_t i = 0; i < sizeof SETTINGS / sizeof SETTINGS[0]; i++) {
        const struct setting *known = &SETTINGS[i];
        if (has_text(model, "backend", known->backend) && has_text(model, "precision", known->precision) &&
            strcmp(name, known->name) == 0 && strcmp(value, known->value) == 0) {
            return true;
        }
    }
    return false;
}

static int read_settings(const json_t *model, weckd_error error) {
    json_t *settings = json_object_get(model, "settings");
    const char *name;
    const json_t *value;
    json_object_foreach(settings, name, value) {
        if (!is_setting(model, name, json_string_value(value))) {
            return weckd_fail(error, WECKD_ERR_FORMAT, "manifest.json: a model names the setting %.60s = %.60s, which this format "
                              "does not have", name, json_string_value(value));
        }
    }
    return WECKD_OK;
}

bool weckd_tolerance_is_good(const json_t *tolerance) {
    return json_is_number(tolerance) && json_number_value(tolerance) >= 0.0 && json_number_value(tolerance) <= WECKD_MAX_TOLERANCE;
}

static bool is_missing(const json_t *value) { return value == NULL || json_is_null(value); }

/* What runs says what its golden frames must give; what only proves that a parser takes the graph does not. */
static int check_proof(const weckd_manifest *manifest, const json_t *model, weckd_error error) {
    const json_t *expected = json_object_get(model, "expected"), *tolerance = json_object_get(model, "tolerance");
    bool runs = !has_text(model, "kind", "preflight");
    weckd_file_ref ref;
    if (is_missing(expected) == runs || is_missing(tolerance) == runs) {
        return weckd_manifest_bad(error, "a model or a recipe lacks golden predictions or a tolerance, or a preflight has them");
    }
    if (!runs) {
        return WECKD_OK;
    }
    return weckd_tolerance_is_good(tolerance) ? weckd_manifest_read_listed(manifest, expected, &ref, error)
                                              : weckd_manifest_bad(error, "a model's tolerance is not in 0 to 0.5");
}

/* Both numbers of convolutions are there, the part in int8 not above the whole, or neither is. */
static bool has_good_counts(const json_t *model) {
    const json_t *part = json_object_get(model, "int8_layers"), *all = json_object_get(model, "layers");
    if (is_missing(part) || is_missing(all)) {
        return is_missing(part) && is_missing(all);
    }
    return json_integer_value(part) >= 0 && json_integer_value(part) <= json_integer_value(all);
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
    if (!weckd_json_is_one_of(model, "kind", (const char *const[]){"model", "recipe", "preflight", NULL}) ||
        weckd_precision_of(model) == NULL || (format != NULL && json_integer_value(format) != WECKD_BUNDLE_FORMAT) ||
        !has_good_counts(model)) {
        return weckd_manifest_bad(error, "a model's 'kind' or 'precision' is unknown, its 'schema_version' is not 1, or it has more "
                                         "int8 layers than layers");
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
    status = check_proof(manifest, model, error);
    if (status != WECKD_OK) {
        return status;
    }
    return has_text(model, "kind", "model") ? check_model_files(manifest, files, error) : WECKD_OK;
}

/* Tell whether an earlier entry is a model of the same backend and precision. */
static bool is_second(const weckd_manifest *manifest, size_t place) {
    const json_t *model = json_array_get(manifest->models, place);
    for (size_t i = 0; has_text(model, "kind", "model") && i < place; i++) {
        const json_t *before = json_array_get(manifest->models, i);
        if (has_text(before, "kind", "model") && json_equal(json_object_get(before, "backend"), json_object_get(model, "backend")) &&
            json_equal(json_object_get(before, "precision"), json_object_get(model, "precision"))) {
            return true;
        }
    }
    return false;
}

int weckd_manifest_read_models(weckd_manifest *manifest, weckd_error error) {
    manifest->models = json_object_get(manifest->root, "models");
    if (json_array_size(manifest->models) > WECKD_MAX_MODELS) {
        return weckd_fail(error, WECKD_ERR_LIMIT, "manifest.json: lists %zu models, at most %d are accepted",
                          json_array_size(manifest->models), WECKD_MAX_MODELS);
    }
    for (size_t i = 0; i < json_array_size(manifest->models); i++) {
        int status = read_model(manifest, json_array_get(manifest->models, i), error);
        if (status != WECKD_OK) {
            return status;
        }
        if (is_second(manifest, i)) {
            return weckd_manifest_bad(error, "two models of one backend have the same precision");
        }
    }
    return WECKD_OK;
}

const char *weckd_precision_of(const json_t *model) {
    static const char *const PRECISIONS[] = {"int8", "fp16", "fp32"};
    for (size_t i = 0; i < sizeof PRECISIONS / sizeof PRECISIONS[0]; i++) {
        if (has_text(model, "precision", PRECISIONS[i])) {
            return PRECISIONS[i];
        }
    }
    return NULL;
}

static void read_proof(const json_t *model, weckd_file_ref *expected, double *tolerance) {
    (void)weckd_manifest_read_ref(json_object_get(model, "expected"), expected, (weckd_error){NULL}); /* was checked before */
    *tolerance = json_number_value(json_object_get(model, "tolerance"));
}

bool weckd_manifest_recipe(const weckd_manifest *manifest, const char *backend, weckd_file_ref *expected, double *tolerance) {
    for (size_t i = 0; i < json_array_size(manifest->models); i++) {
        const json_t *model = json_array_get(manifest->models, i);
        if (has_text(model, "kind", "recipe") && has_text(model, "backend", backend)) {
            read_proof(model, expected, tolerance);
            return true;
        }
    }
    return false;
}

bool weckd_manifest_entry(const weckd_manifest *manifest, size_t place, weckd_entry *entry) {
    const json_t *from = json_array_get(manifest->models, place), *files = json_object_get(from, "files");
    if (!has_text(from, "kind", "model")) {
        return false;
    }
    *entry = (weckd_entry){
        .backend = weckd_json_text(from, "backend", SIZE_MAX),
        .precision = weckd_precision_of(from),
        .source = weckd_json_text(from, "source_sha256", SIZE_MAX),
        .count = json_array_size(files),
        .half = has_text(json_object_get(from, "settings"), PRECISION_HINT, HALF),
        .takes_pixels = manifest->graph_takes_pixels,
    };
    for (size_t k = 0; k < entry->count; k++) { /* all of them were checked before */
        (void)weckd_manifest_read_ref(json_array_get(files, k), &entry->files[k], (weckd_error){NULL});
    }
    read_proof(from, &entry->expected, &entry->tolerance);
    return true;
}
