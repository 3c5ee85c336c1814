/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest.h"

#include "json.h"

#include <stdlib.h>
#include <string.h>

#define DIGEST_KEY "\"manifest_sha256\": \""
#define DIGITS 64

static const char *const KEYS[] = {
    "schema_version", "name", "target", "device", "labels", "input", "input_name", "output_name", "network_input_name",
    "operating_point", "models", "onnx", "onnx_precision", "selftest", "gates", "passed", "synthetic", "files", "versions",
    "manifest_sha256", "version", "guard", NULL,
};

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
    ref->path = weckd_json_text(from, "path", WECKD_MAX_PATH - 1);
    const char *digest = weckd_json_text(from, "sha256", DIGITS);
    if (!weckd_json_only(from, (const char *const[]){"path", "sha256", "bytes", NULL}) || ref->path == NULL ||
        digest == NULL || !weckd_hex_read(digest, strlen(digest), ref->sha256) ||
        !weckd_json_count(from, "bytes", INT64_MAX, &ref->bytes)) {
        return bad(why, "expected a file as {path, sha256, bytes}");
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
    if (!json_is_array(list)) {
        return bad(why, "'files' is no list");
    }
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
    if (!json_is_array(manifest->labels) || count == 0) {
        return bad(why, "'labels' is no list of class names");
    }
    if (count > WECKD_MAX_CLASSES) {
        return weckd_fail(why, WECKD_ERR_LIMIT, "manifest.json: %zu labels, at most %d are taken", count, WECKD_MAX_CLASSES);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *label = json_array_get(manifest->labels, i);
        if (!json_is_string(label)) {
            return bad(why, "a label is no text");
        }
        if (json_string_length(label) >= WECKD_MAX_LABEL_BYTES) {
            return weckd_fail(why, WECKD_ERR_LIMIT, "manifest.json: label %zu is longer than %d bytes", i,
                              WECKD_MAX_LABEL_BYTES - 1);
        }
    }
    manifest->contract.classes = (uint32_t)count;
    return WECKD_OK;
}

/* Labels that are no answer are labels of the bundle. */
static int read_refused(weckd_manifest *manifest, const json_t *list, weckd_why why) {
    if (list != NULL && !json_is_array(list)) {
        return bad(why, "'refuse_labels' is no list of labels");
    }
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

static int read_input(weckd_manifest *manifest, weckd_why why) {
    const json_t *input = json_object_get(manifest->root, "input"), *point = json_object_get(manifest->root, "operating_point");
    uint64_t height = 0, width = 0, size = 0;
    if (!weckd_json_only(input, (const char *const[]){"frame_height", "frame_width", "crop", "input_size", "mean", "std",
                                                       "resize", NULL}) ||
        !weckd_json_count(input, "frame_height", INT32_MAX, &height) ||
        !weckd_json_count(input, "frame_width", INT32_MAX, &width) ||
        !weckd_json_count(input, "input_size", INT32_MAX, &size) || height == 0 || width == 0 || size == 0 ||
        weckd_json_text(input, "crop", 16) == NULL || json_array_size(json_object_get(input, "mean")) != 3 ||
        json_array_size(json_object_get(input, "std")) != 3) {
        return bad(why, "'input' is no frame contract");
    }
    if (height > WECKD_MAX_SIDE || width > WECKD_MAX_SIDE) {
        return weckd_fail(why, WECKD_ERR_LIMIT, "manifest.json: frames of more than %d pixels a side", WECKD_MAX_SIDE);
    }
    if (!weckd_json_only(point, (const char *const[]){"abstain_below", "refuse_labels", NULL}) ||
        !weckd_json_number(point, "abstain_below", &manifest->contract.abstain_below)) {
        return bad(why, "'operating_point' is no {abstain_below, refuse_labels}");
    }
    manifest->contract.frame_height = (uint32_t)height;
    manifest->contract.frame_width = (uint32_t)width;
    manifest->contract.input_size = (uint32_t)size;
    return read_refused(manifest, json_object_get(point, "refuse_labels"), why);
}

static int read_guard(weckd_manifest *manifest, weckd_why why) {
    const json_t *guard = json_object_get(manifest->root, "guard");
    const char *crop = weckd_json_text(json_object_get(manifest->root, "input"), "crop", 16);
    if (guard == NULL || json_is_null(guard)) {
        return WECKD_OK;
    }
    manifest->is_stretched = strcmp(crop, "stretch") == 0;
    if (!manifest->is_stretched && strcmp(crop, "center") != 0) {
        return bad(why, "'crop' is neither center nor stretch");
    }
    manifest->contract.guarded = 1;
    return read_listed(manifest, guard, &manifest->guard, why);
}

static int read_selftest(weckd_manifest *manifest, weckd_why why) {
    const json_t *test = json_object_get(manifest->root, "selftest");
    manifest->tolerance = json_object_get(test, "tolerance");
    if (!weckd_json_only(test, (const char *const[]){"frames", "expected", "reference", "tolerance", NULL}) ||
        weckd_json_text(test, "reference", SIZE_MAX) == NULL ||
        !json_is_object(manifest->tolerance)) {
        return bad(why, "'selftest' is no {frames, expected, reference, tolerance}");
    }
    int status = read_listed(manifest, json_object_get(test, "frames"), &manifest->golden_frames, why);
    return status != WECKD_OK ? status
                              : read_listed(manifest, json_object_get(test, "expected"), &manifest->golden_answers, why);
}

static int read_models(weckd_manifest *manifest, weckd_why why) {
    static const char *const keys[] = {"backend", "backend_version", "precision", "kind", "files", "source_sha256",
                                       "detail", "settings", "schema_version", NULL};
    manifest->models = json_object_get(manifest->root, "models");
    if (!json_is_array(manifest->models)) {
        return bad(why, "'models' is no list");
    }
    for (size_t i = 0; i < json_array_size(manifest->models); i++) {
        const json_t *model = json_array_get(manifest->models, i), *files = json_object_get(model, "files");
        const json_t *settings = json_object_get(model, "settings");
        if (!weckd_json_only(model, keys) || weckd_json_text(model, "backend", 64) == NULL ||
            weckd_json_text(model, "kind", 16) == NULL || weckd_json_text(model, "precision", 16) == NULL ||
            weckd_json_text(model, "backend_version", 64) == NULL || weckd_json_text(model, "source_sha256", DIGITS) == NULL ||
            (settings != NULL && !json_is_object(settings)) || !json_is_array(files)) {
            return bad(why, "a model is not as this format has it");
        }
        for (size_t k = 0; k < json_array_size(files); k++) {
            weckd_file_ref ref;
            int status = read_listed(manifest, json_array_get(files, k), &ref, why);
            if (status != WECKD_OK) {
                return status;
            }
        }
    }
    return WECKD_OK;
}

static bool has_the_others(const json_t *root) {
    const char *target = weckd_json_text(root, "target", 16);
    const json_t *precision = json_object_get(root, "onnx_precision");
    return target != NULL && (strcmp(target, "cpu") == 0 || strcmp(target, "jetson") == 0) &&
           weckd_json_text(root, "network_input_name", SIZE_MAX) != NULL && (precision == NULL || json_is_string(precision)) &&
           json_is_array(json_object_get(root, "gates")) && json_is_object(json_object_get(root, "versions"));
}

static int read_rest(weckd_manifest *manifest, uint64_t format, weckd_why why) {
    weckd_contract *contract = &manifest->contract;
    const char *name = weckd_json_text(manifest->root, "name", SIZE_MAX);
    const char *device = weckd_json_text(manifest->root, "device", SIZE_MAX);
    const json_t *passed = json_object_get(manifest->root, "passed"), *drawn = json_object_get(manifest->root, "synthetic");
    manifest->input_name = weckd_json_text(manifest->root, "input_name", SIZE_MAX);
    manifest->output_name = weckd_json_text(manifest->root, "output_name", SIZE_MAX);
    if (name == NULL || device == NULL || manifest->input_name == NULL || manifest->output_name == NULL ||
        !json_is_boolean(passed) || !json_is_boolean(drawn) || !has_the_others(manifest->root)) {
        return bad(why, "a key is missing or of another type");
    }
    if (json_object_get(manifest->root, "version") != NULL &&
        !weckd_json_count(manifest->root, "version", INT64_MAX, &contract->version)) {
        return bad(why, "'version' is no whole number of at least 0");
    }
    if (strlen(name) >= sizeof contract->name || strlen(device) >= sizeof contract->device) {
        return weckd_fail(why, WECKD_ERR_LIMIT, "manifest.json: a name of more than %d bytes", WECKD_MAX_LABEL_BYTES - 1);
    }
    memcpy(contract->name, name, strlen(name) + 1);
    memcpy(contract->device, device, strlen(device) + 1);
    contract->format = (uint32_t)format;
    contract->passed = (uint8_t)json_is_true(passed);
    contract->synthetic = (uint8_t)json_is_true(drawn);
    return WECKD_OK;
}

int weckd_manifest_read(const char *text, size_t bytes, weckd_manifest *manifest, weckd_why why) {
    memset(manifest, 0, sizeof *manifest);
    manifest->root = weckd_json_read(text, bytes, WECKD_MANIFEST_FILE, why);
    if (manifest->root == NULL) {
        return WECKD_ERR_FORMAT;
    }
    uint64_t format = 0;
    if (!weckd_json_count(manifest->root, "schema_version", INT32_MAX, &format) || format == 0) {
        return bad(why, "'schema_version' is no whole number of at least 1");
    }
    if (format > WECKD_BUNDLE_FORMAT) {
        return weckd_fail(why, WECKD_ERR_NEWER, "manifest.json: format %llu is newer than the format %d that is read here",
                          (unsigned long long)format, WECKD_BUNDLE_FORMAT);
    }
    if (!weckd_json_only(manifest->root, KEYS)) {
        return bad(why, "a key that this format does not have");
    }
    int status = check_own_digest(text, bytes, manifest, why);
    status = status != WECKD_OK ? status : read_files(manifest, why);
    status = status != WECKD_OK ? status : read_labels(manifest, why);
    status = status != WECKD_OK ? status : read_input(manifest, why);
    status = status != WECKD_OK ? status : read_listed(manifest, json_object_get(manifest->root, "onnx"), &manifest->onnx, why);
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
        size_t count = json_array_size(files);
        if (strcmp(weckd_json_text(from, "backend", 64), backend) != 0 ||
            strcmp(weckd_json_text(from, "kind", 16), "model") != 0 || count == 0 || count > WECKD_MAX_MODEL_FILES) {
            continue;
        }
        model->backend = backend;
        model->settings = json_object_get(from, "settings");
        model->count = count;
        for (size_t k = 0; k < count; k++) {
            (void)read_ref(json_array_get(files, k), &model->files[k], (weckd_why){NULL}); /* was read before */
        }
        return true;
    }
    return false;
}
