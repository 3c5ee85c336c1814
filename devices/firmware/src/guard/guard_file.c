/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/guard_file.h"

#include "files/bundle_files.h"
#include "formats/json.h"

#include <stdlib.h>
#include <string.h>

#define QUALITY_LIMITS "limits"       /* key of the limits of image quality */
#define MAX_OOD_SCORE "max_ood_score" /* key of the limit of the OOD score */
#define MIN_SIDE 3 /* pixels of the crop: a point has four neighbours */
#define MAX_NUMBER 1e30

static int bad(weckd_error error, const char *what) { return weckd_fail(error, WECKD_ERR_FORMAT, "guard: %s", what); }

/* Read a number within 1e30: then no score overflows, whatever the frame. */
static bool read_number(const json_t *value, double *to) {
    *to = json_number_value(value);
    return json_is_number(value) && *to >= -MAX_NUMBER && *to <= MAX_NUMBER;
}

static bool read_limit(const json_t *object, const char *key, weckd_limit *limit) {
    const json_t *value = json_object_get(object, key);
    limit->is_set = value != NULL && !json_is_null(value);
    return !limit->is_set || read_number(value, &limit->value);
}

static bool read_numbers(const json_t *list, size_t count, double *to) {
    bool good = json_is_array(list) && json_array_size(list) == count;
    for (size_t i = 0; good && i < count; i++) {
        good = read_number(json_array_get(list, i), &to[i]);
    }
    return good;
}

static const weckd_key KEYS[] = {
    {QUALITY_LIMITS, WECKD_OBJECT, false},
    {"mean", WECKD_LIST, false},
    {"whitening", WECKD_LIST, false},
    {MAX_OOD_SCORE, WECKD_NUMBER_OR_NULL, false},
    {"schema_version", WECKD_WHOLE, true},
    {0},
};

static const weckd_key QUALITY_KEYS[] = {
    {"min_sharpness", WECKD_NUMBER_OR_NULL, true},
    {"min_contrast", WECKD_NUMBER_OR_NULL, true},
    {"max_dark_fraction", WECKD_NUMBER_OR_NULL, true},
    {"max_bright_fraction", WECKD_NUMBER_OR_NULL, true},
    {0},
};

static bool read_limits(const json_t *root, const json_t *quality, weckd_guard *guard) {
    weckd_limit *const limits[] = {&guard->min_sharpness, &guard->min_contrast, &guard->max_dark, &guard->max_bright};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        if (!read_limit(quality, QUALITY_KEYS[i].name, limits[i])) {
            return false;
        }
    }
    return read_limit(root, MAX_OOD_SCORE, &guard->max_ood_score);
}

static int read_guard(const json_t *root, weckd_guard *guard, weckd_error error) {
    const json_t *quality = json_object_get(root, QUALITY_LIMITS), *rows = json_object_get(root, "whitening");
    const json_t *format = json_object_get(root, "schema_version");
    int status = weckd_json_expect(root, KEYS, "guard", error);
    if (status != WECKD_OK) {
        return status;
    }
    status = weckd_json_expect(quality, QUALITY_KEYS, "guard: " QUALITY_LIMITS, error);
    if (status != WECKD_OK) {
        return status;
    }
    if (format != NULL && json_integer_value(format) != WECKD_BUNDLE_FORMAT) {
        return weckd_fail(error, WECKD_ERR_NEWER, "guard: expected format %d, found %lld", WECKD_BUNDLE_FORMAT,
                          (long long)json_integer_value(format));
    }
    if (!read_limits(root, quality, guard)) {
        return bad(error, "a limit beyond 1e30");
    }
    if (!read_numbers(json_object_get(root, "mean"), WECKD_GUARD_FEATURES, guard->mean) ||
        json_array_size(rows) != WECKD_GUARD_FEATURES) {
        return bad(error, "expected the mean of every feature and a triangle as high, no number beyond 1e30");
    }
    for (size_t i = 0; i < WECKD_GUARD_FEATURES; i++) {
        double row[WECKD_GUARD_FEATURES];
        if (!read_numbers(json_array_get(rows, i), i + 1, row)) {
            return bad(error, "'whitening' is no triangle of numbers within 1e30");
        }
        for (size_t j = 0; j <= i; j++) {
            guard->whitening[j][i] = row[j];
        }
    }
    return WECKD_OK;
}

int weckd_guard_parse(const char *text, size_t bytes, weckd_guard *guard, weckd_error error) {
    memset(guard, 0, sizeof *guard);
    json_t *root = NULL;
    int status = weckd_json_read(text, bytes, "guard", &root, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = read_guard(root, guard, error);
    json_decref(root);
    return status;
}

static int read_file(int folder_fd, const weckd_file_ref *ref, weckd_guard *guard, weckd_error error) {
    if (ref->bytes > WECKD_GUARD_MAX_BYTES) {
        return weckd_fail(error, WECKD_ERR_LIMIT, "%.150s: expected at most %u bytes, got %llu", ref->path, WECKD_GUARD_MAX_BYTES,
                          (unsigned long long)ref->bytes);
    }
    int status = WECKD_OK;
    char *text = malloc((size_t)ref->bytes + 1);
    weckd_guard *own = guard == NULL ? malloc(sizeof *own) : NULL;
    if (text == NULL || (guard == NULL && own == NULL)) {
        status = weckd_fail(error, WECKD_ERR_MEMORY, "no memory for the guard");
        goto done;
    }
    status = weckd_file_check(folder_fd, ref->path, ref->bytes, ref->sha256, text, error);
    if (status != WECKD_OK) {
        goto done;
    }
    status = weckd_guard_parse(text, (size_t)ref->bytes, guard != NULL ? guard : own, error);
done:
    free(own);
    free(text);
    return status;
}

int weckd_guard_read(int folder_fd, const weckd_manifest *manifest, weckd_guard *guard, weckd_error error) {
    if (manifest->guard.path == NULL) {
        return WECKD_OK;
    }
    if (manifest->crop_width < MIN_SIDE || manifest->crop_height < MIN_SIDE) {
        return bad(error, "the crop of the frame is too small for one");
    }
    return read_file(folder_fd, &manifest->guard, guard, error);
}
