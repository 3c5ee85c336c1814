/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle/manifest_parts.h"

#include "formats/json.h"

#include <stdlib.h>
#include <string.h>

#define DIGEST_KEY "\"manifest_sha256\": \""
#define DIGITS 64

static const weckd_key KEYS[] = {
    {"schema_version", WECKD_WHOLE, false},
    {"version", WECKD_WHOLE, true},
    {"name", WECKD_TEXT, false},
    {"target", WECKD_TEXT, false},
    {"device", WECKD_TEXT, false},
    {"labels", WECKD_TEXT_LIST, false},
    {"input", WECKD_OBJECT, false},
    {"input_name", WECKD_TEXT, false},
    {"network_input_name", WECKD_TEXT, false},
    {"output_name", WECKD_TEXT, false},
    {"operating_point", WECKD_OBJECT, false},
    {"exam", WECKD_OBJECT, false},
    {"guard", WECKD_ANY, true},
    {"models", WECKD_LIST, false},
    {"onnx", WECKD_OBJECT, false},
    {"onnx_precision", WECKD_TEXT, true},
    {"selftest", WECKD_OBJECT, false},
    {"gates", WECKD_LIST, false},
    {"passed", WECKD_BOOLEAN, false},
    {"synthetic", WECKD_BOOLEAN, false},
    {"files", WECKD_LIST, false},
    {"versions", WECKD_TEXTS, false},
    {"manifest_sha256", WECKD_TEXT, false},
    {0},
};

static const weckd_key SELFTEST_KEYS[] = {
    {"frames", WECKD_OBJECT, false},
    {"reference", WECKD_TEXT, false},
    {0},
};

static const weckd_key GATE_KEYS[] = {
    {"name", WECKD_TEXT, false},
    {"limit", WECKD_NUMBER, false},
    {"value", WECKD_NUMBER_OR_NULL, false},
    {"verdict", WECKD_TEXT, false},
    {"reason", WECKD_TEXT, false},
    {0},
};

/* Check the manifest's own SHA-256, which is made with its 64 digits written as zeros. */
static int check_own_digest(const char *text, size_t bytes, weckd_manifest *manifest, weckd_error error) {
    const char *named = weckd_json_text(manifest->root, "manifest_sha256", DIGITS);
    size_t key = strlen(DIGEST_KEY), found = 0, at = 0;
    uint8_t expected[WECKD_SHA256_BYTES], digest[WECKD_SHA256_BYTES];
    for (size_t i = 0; i + key + DIGITS < bytes; i++) {
        if (memcmp(text + i, DIGEST_KEY, key) == 0 && weckd_hex_read(text + i + key, DIGITS, expected) &&
            text[i + key + DIGITS] == '"') {
            found++;
            at = i + key;
        }
    }
    if (found != 1 || named == NULL || strlen(named) != DIGITS || memcmp(named, text + at, DIGITS) != 0) {
        return weckd_fail(error, WECKD_ERR_FORMAT, "manifest.json: expected its own SHA-256 once, found it %zu times", found);
    }
    char zeros[DIGITS];
    memset(zeros, '0', sizeof zeros);
    (void)weckd_hex_read(named, DIGITS, expected);
    weckd_hash hash;
    weckd_hash_start(&hash);
    weckd_hash_add(&hash, text, at);
    weckd_hash_add(&hash, zeros, sizeof zeros);
    weckd_hash_add(&hash, text + at + DIGITS, bytes - at - DIGITS);
    weckd_hash_end(&hash, digest);
    if (memcmp(digest, expected, sizeof digest) != 0) {
        return weckd_fail(error, WECKD_ERR_DIGEST, "manifest.json: its bytes do not match the SHA-256 it names; it was changed");
    }
    memcpy(manifest->contract.id, named, DIGITS);
    return WECKD_OK;
}

static int read_guard(weckd_manifest *manifest, weckd_error error) {
    const json_t *guard = json_object_get(manifest->root, "guard");
    if (guard == NULL || json_is_null(guard)) {
        return WECKD_OK;
    }
    manifest->contract.has_guard = 1;
    return weckd_manifest_read_listed(manifest, guard, &manifest->guard, error);
}

static int read_selftest(weckd_manifest *manifest, weckd_error error) {
    const json_t *test = json_object_get(manifest->root, "selftest");
    int status = weckd_json_expect(test, SELFTEST_KEYS, "manifest.json: selftest", error);
    if (status != WECKD_OK) {
        return status;
    }
    return weckd_manifest_read_listed(manifest, json_object_get(test, "frames"), &manifest->golden_frames, error);
}

static int read_gates(weckd_manifest *manifest, weckd_error error) {
    const json_t *gates = json_object_get(manifest->root, "gates");
    for (size_t i = 0; i < json_array_size(gates); i++) {
        const json_t *gate = json_array_get(gates, i);
        int status = weckd_json_expect(gate, GATE_KEYS, "manifest.json: a gate", error);
        if (status != WECKD_OK) {
            return status;
        }
        if (!weckd_json_is_one_of(gate, "verdict", (const char *const[]){"PASS", "FAIL", "INCONCLUSIVE", NULL})) {
            return weckd_manifest_bad(error, "a gate's 'verdict' is unknown");
        }
    }
    return WECKD_OK;
}

static int read_header(weckd_manifest *manifest, weckd_error error) {
    const json_t *root = manifest->root;
    weckd_contract *contract = &manifest->contract;
    const char *name = weckd_json_text(root, "name", SIZE_MAX), *device = weckd_json_text(root, "device", SIZE_MAX);
    if (!weckd_json_is_one_of(root, "target", (const char *const[]){"cpu", "jetson", NULL}) ||
        (json_object_get(root, "onnx_precision") != NULL &&
         !weckd_json_is_one_of(root, "onnx_precision", (const char *const[]){"int8", "fp32", NULL}))) {
        return weckd_manifest_bad(error, "'target' or 'onnx_precision' is unknown");
    }
    if (json_object_get(root, "version") != NULL && !weckd_json_count(root, "version", INT64_MAX, &contract->version)) {
        return weckd_manifest_bad(error, "'version' is no whole number of at least 0");
    }
    if (strlen(name) >= sizeof contract->name || strlen(device) >= sizeof contract->device) {
        return weckd_fail(error, WECKD_ERR_LIMIT, "manifest.json: a name of more than %d bytes", WECKD_MAX_LABEL_BYTES - 1);
    }
    memcpy(contract->name, name, strlen(name) + 1);
    memcpy(contract->device, device, strlen(device) + 1);
    contract->passed = (uint8_t)json_is_true(json_object_get(root, "passed"));
    contract->synthetic = (uint8_t)json_is_true(json_object_get(root, "synthetic"));
    return WECKD_OK;
}

/* In this order: a part may use what those before it have read. */
static int (*const PARTS[])(weckd_manifest *manifest, weckd_error error) = {
    weckd_manifest_read_files,
    weckd_manifest_read_labels,
    weckd_manifest_read_input,
    weckd_manifest_read_onnx,
    read_guard,
    weckd_manifest_read_exam,
    read_selftest,
    weckd_manifest_read_models,
    read_header,
    read_gates,
};

int weckd_manifest_read(const char *text, size_t bytes, weckd_manifest *manifest, weckd_error error) {
    memset(manifest, 0, sizeof *manifest);
    int status = weckd_json_read(text, bytes, WECKD_MANIFEST_FILE, &manifest->root, error);
    if (status != WECKD_OK) {
        return status;
    }
    uint64_t format = 0;
    if (!weckd_json_count(manifest->root, "schema_version", INT64_MAX, &format) || format == 0) {
        return weckd_manifest_bad(error, "'schema_version' is no whole number of at least 1");
    }
    if (format > WECKD_BUNDLE_FORMAT) {
        return weckd_fail(error, WECKD_ERR_NEWER, "manifest.json: format %llu is newer than the format %d that is read here",
                          (unsigned long long)format, WECKD_BUNDLE_FORMAT);
    }
    status = weckd_json_expect(manifest->root, KEYS, "manifest.json", error);
    if (status != WECKD_OK) {
        return status;
    }
    status = check_own_digest(text, bytes, manifest, error);
    if (status != WECKD_OK) {
        return status;
    }
    manifest->contract.format = (uint32_t)format;
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) {
        status = PARTS[i](manifest, error);
        if (status != WECKD_OK) {
            return status;
        }
    }
    return WECKD_OK;
}

void weckd_manifest_free(weckd_manifest *manifest) {
    json_decref(manifest->root);
    free(manifest->files);
    memset(manifest, 0, sizeof *manifest);
}
