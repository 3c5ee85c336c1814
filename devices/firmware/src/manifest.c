/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest.h"

#include "json.h"

#include <stdlib.h>
#include <string.h>

#define DIGEST_KEY "\"manifest_sha256\": \""
#define DIGITS 64

static const weckd_key KEYS[] = {
    {"schema_version", WECKD_WHOLE, false}, {"version", WECKD_WHOLE, true}, {"name", WECKD_TEXT, false},
    {"target", WECKD_TEXT, false}, {"device", WECKD_TEXT, false}, {"labels", WECKD_TEXT_LIST, false},
    {"input", WECKD_OBJECT, false}, {"input_name", WECKD_TEXT, false}, {"network_input_name", WECKD_TEXT, false},
    {"output_name", WECKD_TEXT, false}, {"operating_point", WECKD_OBJECT, false}, {"guard", WECKD_ANY, true},
    {"models", WECKD_LIST, false}, {"onnx", WECKD_OBJECT, false}, {"onnx_precision", WECKD_TEXT, true},
    {"selftest", WECKD_OBJECT, false}, {"gates", WECKD_LIST, false}, {"passed", WECKD_BOOLEAN, false},
    {"synthetic", WECKD_BOOLEAN, false}, {"files", WECKD_LIST, false}, {"versions", WECKD_TEXTS, false},
    {"manifest_sha256", WECKD_TEXT, false}, {0},
};
static const weckd_key FILE_KEYS[] = {
    {"path", WECKD_TEXT, false}, {"sha256", WECKD_TEXT, false}, {"bytes", WECKD_WHOLE, false}, {0},
};
static const weckd_key INPUT_KEYS[] = {{"frame", WECKD_OBJECT, false}, {"network", WECKD_OBJECT, false}, {0}};
static const weckd_key FRAME_KEYS[] = {
    {"height", WECKD_WHOLE, false}, {"width", WECKD_WHOLE, false}, {"crop", WECKD_TEXT, false},
    {"resize", WECKD_TEXT, true}, {0},
};
static const weckd_key NETWORK_KEYS[] = {
    {"size", WECKD_WHOLE, false}, {"mean", WECKD_NUMBER_LIST, false}, {"std", WECKD_NUMBER_LIST, false}, {0},
};
static const weckd_key POINT_KEYS[] = {
    {"abstain_below", WECKD_NUMBER, false}, {"refuse_labels", WECKD_TEXT_LIST, true}, {0},
};
static const weckd_key SELFTEST_KEYS[] = {
    {"frames", WECKD_OBJECT, false}, {"expected", WECKD_OBJECT, false}, {"reference", WECKD_TEXT, false},
    {"tolerance", WECKD_NUMBERS, false}, {0},
};
static const weckd_key MODEL_KEYS[] = {
    {"backend", WECKD_TEXT, false}, {"backend_version", WECKD_TEXT, false}, {"precision", WECKD_TEXT, false},
    {"kind", WECKD_TEXT, false}, {"files", WECKD_LIST, false}, {"source_sha256", WECKD_TEXT, false},
    {"detail", WECKD_TEXT_LIST, true}, {"settings", WECKD_TEXTS, true}, {"schema_version", WECKD_WHOLE, true}, {0},
};
static const weckd_key GATE_KEYS[] = {
    {"name", WECKD_TEXT, false}, {"bar", WECKD_NUMBER, false}, {"got", WECKD_NUMBER_OR_NULL, false},
    {"verdict", WECKD_TEXT, false}, {"reason", WECKD_TEXT, false}, {0},
};

/* Every setting that a model of a bundle may name. The backend sets each of them itself; nothing else of a manifest reaches
 * a runtime. */
static const struct setting {
    const char *backend, *name, *value;
} SETTINGS[] = {{"openvino", "INFERENCE_PRECISION_HINT", "f32"}};

static int bad(weckd_why why, const char *what) { return weckd_fail(why, WECKD_ERR_FORMAT, "manifest.json: %s", what); }

/* Relative, below the folder, written the one usual way, in printable ASCII. */
static bool is_plain(const char *path) {
    size_t part = 0, length = strlen(path);
    if (length == 0 || length >= WECKD_MAX_PATH) {
        return false;
    }
    for (size_t i = 0; i <= length; i++) {
        char c = path[i];
        if (c == '/' || c == '\0') {
            if (part == 0 || (part == 1 && path[i - 1] == '.') || (part == 2 && path[i - 1] == '.' && path[i - 2] == '.')) {
                return false;
            }
            part = 0;
        } else if (c < 0x20 || c > 0x7e || c == '\\') {
            return false;
        } else {
            part++;
        }
    }
    return true;
}

bool weckd_is_device_path(const char *path) {
    size_t length = strlen(WECKD_DEVICE_FOLDER);
    return strncmp(path, WECKD_DEVICE_FOLDER, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const weckd_file_ref *)a)->path, ((const weckd_file_ref *)b)->path);
}

const weckd_file_ref *weckd_manifest_find(const weckd_manifest *manifest, const char *path) {
    weckd_file_ref wanted = {.path = path};
    return manifest->count == 0 ? NULL : bsearch(&wanted, manifest->files, manifest->count, sizeof wanted, by_path);
}

static int read_ref(const json_t *from, weckd_file_ref *ref, weckd_why why) {
    int status = weckd_json_expect(from, FILE_KEYS, "manifest.json: a file", why);
    if (status != WECKD_OK) {
        return status;
    }
    const char *digest = weckd_json_text(from, "sha256", DIGITS);
    ref->path = weckd_json_text(from, "path", SIZE_MAX);
    if (digest == NULL || !weckd_hex_read(digest, strlen(digest), ref->sha256) ||
        !weckd_json_count(from, "bytes", INT64_MAX, &ref->bytes)) {
        return bad(why, "a file's SHA-256 is not 64 lower-case hexadecimal digits, or its size is negative");
    }
    if (!is_plain(ref->path) || weckd_is_device_path(ref->path) || strcmp(ref->path, WECKD_MANIFEST_FILE) == 0 ||
        strcmp(ref->path, WECKD_SIGNATURE_FILE) == 0) {
        return weckd_fail(why, WECKD_ERR_LISTING, "manifest.json: '%.150s' is not a path that a bundle may list", ref->path);
    }
    return WECKD_OK;
}

/* A file that is used elsewhere in the manifest is in its list, the same. */
static int read_listed(const weckd_manifest *manifest, const json_t *from, weckd_file_ref *ref, weckd_why why) {
    int status = read_ref(from, ref, why);
    if (status != WECKD_OK) {
        return status;
    }
    const weckd_file_ref *listed = weckd_manifest_find(manifest, ref->path);
    if (listed == NULL || listed->bytes != ref->bytes || memcmp(listed->sha256, ref->sha256, sizeof ref->sha256) != 0) {
        return weckd_fail(why, WECKD_ERR_LISTING, "manifest.json: uses '%.150s', which is not the file of that name in its list",
                          ref->path);
    }
    return WECKD_OK;
}

static int read_files(weckd_manifest *manifest, weckd_why why) {
    const json_t *list = json_object_get(manifest->root, "files");
    size_t count = json_array_size(list);
    if (count > WECKD_MAX_FILES) {
        return weckd_fail(why, WECKD_ERR_LIMIT, "manifest.json: lists %zu files, at most %d are taken", count, WECKD_MAX_FILES);
    }
    manifest->files = calloc(count + 1, sizeof *manifest->files);
    if (manifest->files == NULL) {
        return weckd_fail(why, WECKD_ERR_MEMORY, "no memory for a list of %zu files", count);
    }
    for (size_t i = 0; i < count; i++) {
        int status = read_ref(json_array_get(list, i), &manifest->files[i], why);
        if (status != WECKD_OK) {
            return status;
        }
    }
    manifest->count = count;
    qsort(manifest->files, count, sizeof *manifest->files, by_path);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(manifest->files[i - 1].path, manifest->files[i].path) == 0) {
            return weckd_fail(why, WECKD_ERR_LISTING, "manifest.json: lists '%.150s' twice", manifest->files[i].path);
        }
    }
    return WECKD_OK;
}

/* The file's SHA-256 with its own 64 digits written as zeros. */
static int check_own_digest(const char *text, size_t bytes, weckd_manifest *manifest, weckd_why why) {
    const char *said = weckd_json_text(manifest->root, "manifest_sha256", DIGITS);
    size_t key = strlen(DIGEST_KEY), found = 0, at = 0;
    uint8_t expected[WECKD_SHA256_BYTES], digest[WECKD_SHA256_BYTES];
    for (size_t i = 0; i + key + DIGITS < bytes; i++) {
        if (memcmp(text + i, DIGEST_KEY, key) == 0 && weckd_hex_read(text + i + key, DIGITS, expected) &&
            text[i + key + DIGITS] == '"') {
            found++;
            at = i + key;
        }
    }
    if (found != 1 || said == NULL || strlen(said) != DIGITS || memcmp(said, text + at, DIGITS) != 0) {
        return weckd_fail(why, WECKD_ERR_FORMAT, "manifest.json: expected its own SHA-256 once, found it %zu times", found);
    }
    char zeros[DIGITS];
    memset(zeros, '0', sizeof zeros);
    (void)weckd_hex_read(said, DIGITS, expected);
    weckd_hash hash;
    weckd_hash_start(&hash);
    weckd_hash_add(&hash, text, at);
    weckd_hash_add(&hash, zeros, sizeof zeros);
    weckd_hash_add(&hash, text + at + DIGITS, bytes - at - DIGITS);
    weckd_hash_end(&hash, digest);
    if (memcmp(digest, expected, sizeof digest) != 0) {
        return weckd_fail(why, WECKD_ERR_DIGEST, "manifest.json: its bytes do not match the SHA-256 it names; it was changed");
    }
    memcpy(manifest->contract.id, said, DIGITS);
    return WECKD_OK;
}

static int read_labels(weckd_manifest *manifest, weckd_why why) {
    manifest->labels = json_object_get(manifest->root, "labels");
    size_t count = json_array_size(manifest->labels);
    if (count == 0) {
        return bad(why, "'labels' is empty");
    }
    if (count > WECKD_MAX_CLASSES) {
        return weckd_fail(why, WECKD_ERR_LIMIT, "manifest.json: %zu labels, at most %d are taken", count, WECKD_MAX_CLASSES);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *label = json_array_get(manifest->labels, i);
        if (json_string_length(label) >= WECKD_MAX_LABEL_BYTES) {
            return weckd_fail(why, WECKD_ERR_LIMIT, "manifest.json: label %zu is longer than %d bytes", i,
                              WECKD_MAX_LABEL_BYTES - 1);
        }
        if (json_string_length(label) == 0) {
            return bad(why, "a label is empty");
        }
        for (size_t k = 0; k < i; k++) {
            if (json_equal(label, json_array_get(manifest->labels, k))) {
                return bad(why, "two labels are equal");
            }
        }
    }
    manifest->contract.classes = (uint32_t)count;
    return WECKD_OK;
}

/* Labels that are no answer are labels of the bundle. */
static int read_refused(weckd_manifest *manifest, const json_t *list, weckd_why why) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *refused = json_array_get(list, i);
        size_t at = 0;
        while (at < manifest->contract.classes && !json_equal(refused, json_array_get(manifest->labels, at))) {
            at++;
        }
        if (at == manifest->contract.classes) {
            return bad(why, "'refuse_labels' names what is no label");
        }
    }
    manifest->refused = list;
    return WECKD_OK;
}

static int read_side(const json_t *part, const char *key, uint32_t *side, weckd_why why) {
    uint64_t pixels = 0;
    if (!weckd_json_count(part, key, INT64_MAX, &pixels) || pixels == 0) {
        return weckd_fail(why, WECKD_ERR_FORMAT, "manifest.json: input: '%s' is under 1", key);
    }
    if (pixels > WECKD_MAX_SIDE) {
        return weckd_fail(why, WECKD_ERR_LIMIT, "manifest.json: input: '%s' is over %d pixels", key, WECKD_MAX_SIDE);
    }
    *side = (uint32_t)pixels;
    return WECKD_OK;
}

static int read_input(weckd_manifest *manifest, weckd_why why) {
    const json_t *input = json_object_get(manifest->root, "input"), *point = json_object_get(manifest->root, "operating_point");
    weckd_contract *contract = &manifest->contract;
    int status = weckd_json_expect(input, INPUT_KEYS, "manifest.json: input", why);
    const json_t *frame = json_object_get(input, "frame"), *network = json_object_get(input, "network");
    status = status != WECKD_OK ? status : weckd_json_expect(frame, FRAME_KEYS, "manifest.json: input.frame", why);
    status = status != WECKD_OK ? status : weckd_json_expect(network, NETWORK_KEYS, "manifest.json: input.network", why);
    status = status != WECKD_OK ? status : read_side(frame, "height", &contract->frame_height, why);
    status = status != WECKD_OK ? status : read_side(frame, "width", &contract->frame_width, why);
    status = status != WECKD_OK ? status : read_side(network, "size", &contract->input_size, why);
    status = status != WECKD_OK ? status : weckd_json_expect(point, POINT_KEYS, "manifest.json: operating_point", why);
    if (status != WECKD_OK) {
        return status;
    }
    if (!weckd_json_is_one_of(frame, "crop", (const char *const[]){"center", "stretch", NULL}) ||
        (json_object_get(frame, "resize") != NULL &&
         !weckd_json_is_one_of(frame, "resize", (const char *const[]){"diagonal", "bilinear", NULL})) ||
        json_array_size(json_object_get(network, "mean")) != 3 || json_array_size(json_object_get(network, "std")) != 3) {
        return bad(why, "input: 'crop' or 'resize' is unknown, or 'mean' or 'std' is not 3 numbers");
    }
    manifest->is_stretched = weckd_json_is_one_of(frame, "crop", (const char *const[]){"stretch", NULL});
    contract->abstain_below = json_number_value(json_object_get(point, "abstain_below"));
    return read_refused(manifest, json_object_get(point, "refuse_labels"), why);
}

static int read_guard(weckd_manifest *manifest, weckd_why why) {
    const json_t *guard = json_object_get(manifest->root, "guard");
    if (guard == NULL || json_is_null(guard)) {
        return WECKD_OK;
    }
    manifest->contract.guarded = 1;
    return read_listed(manifest, guard, &manifest->guard, why);
}

static int read_selftest(weckd_manifest *manifest, weckd_why why) {
    json_t *test = json_object_get(manifest->root, "selftest");
    int status = weckd_json_expect(test, SELFTEST_KEYS, "manifest.json: selftest", why);
    if (status != WECKD_OK) {
        return status;
    }
    json_t *tolerances = json_object_get(test, "tolerance");
    const char *backend;
    const json_t *tolerance;
    json_object_foreach(tolerances, backend, tolerance) {
        if (!(json_number_value(tolerance) >= 0.0 && json_number_value(tolerance) <= WECKD_MAX_TOLERANCE)) {
            return bad(why, "selftest: a tolerance is not in 0 to 0.5");
        }
    }
    manifest->tolerance = tolerances;
    status = read_listed(manifest, json_object_get(test, "frames"), &manifest->golden_frames, why);
    return status != WECKD_OK ? status
                              : read_listed(manifest, json_object_get(test, "expected"), &manifest->golden_answers, why);
}

static int read_settings(const json_t *model, weckd_why why) {
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
            return weckd_fail(why, WECKD_ERR_FORMAT, "manifest.json: a model names the setting %.60s = %.60s, which this format "
                              "does not have", name, json_string_value(value));
        }
    }
    return WECKD_OK;
}

static bool ends_with(const char *path, const char *suffix) {
    size_t length = strlen(path), end = strlen(suffix);
    return length >= end && strcmp(path + length - end, suffix) == 0;
}

/* What a model that runs as it is consists of: few files, not too large, and no doubt which is the graph and which the weights. */
static int check_model_files(const weckd_manifest *manifest, const json_t *list, weckd_why why) {
    weckd_file_ref refs[WECKD_MAX_MODEL_FILES];
    size_t count = json_array_size(list), graphs = 0, weights = 0, twice = 0;
    uint64_t bytes = 0;
    if (count > WECKD_MAX_MODEL_FILES) {
        return weckd_fail(why, WECKD_ERR_LIMIT, "manifest.json: a model of %zu files, at most %d are taken", count,
                          WECKD_MAX_MODEL_FILES);
    }
    for (size_t i = 0; i < count; i++) {
        int status = read_listed(manifest, json_array_get(list, i), &refs[i], why);
        if (status != WECKD_OK) {
            return status;
        }
        if (refs[i].bytes > WECKD_MAX_MODEL_BYTES || (bytes += refs[i].bytes) > WECKD_MAX_MODEL_BYTES) {
            return weckd_fail(why, WECKD_ERR_LIMIT, "manifest.json: a model of more than %llu bytes",
                              (unsigned long long)WECKD_MAX_MODEL_BYTES);
        }
        graphs += ends_with(refs[i].path, ".xml") || ends_with(refs[i].path, ".onnx");
        weights += ends_with(refs[i].path, ".bin");
        for (size_t k = 0; k < i; k++) {
            twice += strcmp(refs[k].path, refs[i].path) == 0;
        }
    }
    return count > 0 && graphs <= 1 && weights <= 1 && twice == 0
               ? WECKD_OK
               : bad(why, "a model has no file, a file twice, or more than one graph or one file of weights");
}

static int read_model(const weckd_manifest *manifest, const json_t *model, weckd_why why) {
    const json_t *files = json_object_get(model, "files"), *format = json_object_get(model, "schema_version");
    int status = weckd_json_expect(model, MODEL_KEYS, "manifest.json: a model", why);
    status = status != WECKD_OK ? status : read_settings(model, why);
    for (size_t k = 0; status == WECKD_OK && k < json_array_size(files); k++) {
        weckd_file_ref ref;
        status = read_listed(manifest, json_array_get(files, k), &ref, why);
    }
    if (status != WECKD_OK) {
        return status;
    }
    if (!weckd_json_is_one_of(model, "kind", (const char *const[]){"model", "recipe", "preflight", NULL}) ||
        (format != NULL && json_integer_value(format) != WECKD_BUNDLE_FORMAT)) {
        return bad(why, "a model's 'kind' is unknown, or its 'schema_version' is not 1");
    }
    return weckd_json_is_one_of(model, "kind", (const char *const[]){"model", NULL}) ? check_model_files(manifest, files, why)
                                                                                    : WECKD_OK;
}

static int read_models(weckd_manifest *manifest, weckd_why why) {
    int status = WECKD_OK;
    manifest->models = json_object_get(manifest->root, "models");
    for (size_t i = 0; status == WECKD_OK && i < json_array_size(manifest->models); i++) {
        status = read_model(manifest, json_array_get(manifest->models, i), why);
    }
    return status;
}

static int read_gates(const json_t *gates, weckd_why why) {
    for (size_t i = 0; i < json_array_size(gates); i++) {
        const json_t *gate = json_array_get(gates, i);
        int status = weckd_json_expect(gate, GATE_KEYS, "manifest.json: a gate", why);
        if (status != WECKD_OK) {
            return status;
        }
        if (!weckd_json_is_one_of(gate, "verdict", (const char *const[]){"PASS", "FAIL", "INCONCLUSIVE", NULL})) {
            return bad(why, "a gate's 'verdict' is unknown");
        }
    }
    return WECKD_OK;
}

static int read_rest(weckd_manifest *manifest, uint64_t format, weckd_why why) {
    const json_t *root = manifest->root;
    weckd_contract *contract = &manifest->contract;
    const char *name = weckd_json_text(root, "name", SIZE_MAX), *device = weckd_json_text(root, "device", SIZE_MAX);
    manifest->input_name = weckd_json_text(root, "input_name", SIZE_MAX);
    manifest->output_name = weckd_json_text(root, "output_name", SIZE_MAX);
    if (!weckd_json_is_one_of(root, "target", (const char *const[]){"cpu", "jetson", NULL}) ||
        (json_object_get(root, "onnx_precision") != NULL &&
         !weckd_json_is_one_of(root, "onnx_precision", (const char *const[]){"int8", "fp32", NULL}))) {
        return bad(why, "'target' or 'onnx_precision' is unknown");
    }
    if (json_object_get(root, "version") != NULL && !weckd_json_count(root, "version", INT64_MAX, &contract->version)) {
        return bad(why, "'version' is no whole number of at least 0");
    }
    if (strlen(name) >= sizeof contract->name || strlen(device) >= sizeof contract->device) {
        return weckd_fail(why, WECKD_ERR_LIMIT, "manifest.json: a name of more than %d bytes", WECKD_MAX_LABEL_BYTES - 1);
    }
    memcpy(contract->name, name, strlen(name) + 1);
    memcpy(contract->device, device, strlen(device) + 1);
    contract->format = (uint32_t)format;
    contract->passed = (uint8_t)json_is_true(json_object_get(root, "passed"));
    contract->synthetic = (uint8_t)json_is_true(json_object_get(root, "synthetic"));
    return read_gates(json_object_get(root, "gates"), why);
}

/* The graph can be run as a model can. */
static int read_onnx(weckd_manifest *manifest, weckd_why why) {
    int status = read_listed(manifest, json_object_get(manifest->root, "onnx"), &manifest->onnx, why);
    if (status == WECKD_OK && manifest->onnx.bytes > WECKD_MAX_MODEL_BYTES) {
        status = weckd_fail(why, WECKD_ERR_LIMIT, "manifest.json: a graph of more than %llu bytes",
                            (unsigned long long)WECKD_MAX_MODEL_BYTES);
    }
    return status;
}

int weckd_manifest_read(const char *text, size_t bytes, weckd_manifest *manifest, weckd_why why) {
    memset(manifest, 0, sizeof *manifest);
    manifest->root = weckd_json_read(text, bytes, WECKD_MANIFEST_FILE, why);
    if (manifest->root == NULL) {
        return WECKD_ERR_FORMAT;
    }
    uint64_t format = 0;
    if (!weckd_json_count(manifest->root, "schema_version", INT64_MAX, &format) || format == 0) {
        return bad(why, "'schema_version' is no whole number of at least 1");
    }
    if (format > WECKD_BUNDLE_FORMAT) {
        return weckd_fail(why, WECKD_ERR_NEWER, "manifest.json: format %llu is newer than the format %d that is read here",
                          (unsigned long long)format, WECKD_BUNDLE_FORMAT);
    }
    int status = weckd_json_expect(manifest->root, KEYS, "manifest.json", why);
    status = status != WECKD_OK ? status : check_own_digest(text, bytes, manifest, why);
    status = status != WECKD_OK ? status : read_files(manifest, why);
    status = status != WECKD_OK ? status : read_labels(manifest, why);
    status = status != WECKD_OK ? status : read_input(manifest, why);
    status = status != WECKD_OK ? status : read_onnx(manifest, why);
    status = status != WECKD_OK ? status : read_guard(manifest, why);
    status = status != WECKD_OK ? status : read_selftest(manifest, why);
    status = status != WECKD_OK ? status : read_models(manifest, why);
    return status != WECKD_OK ? status : read_rest(manifest, format, why);
}

void weckd_manifest_free(weckd_manifest *manifest) {
    json_decref(manifest->root);
    free(manifest->files);
    memset(manifest, 0, sizeof *manifest);
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
            (void)read_ref(json_array_get(files, k), &model->files[k], (weckd_why){NULL}); /* was read before */
        }
        return true;
    }
    return false;
}
