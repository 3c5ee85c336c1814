/* The guard's file, read and found sound. SPDX-License-Identifier: Apache-2.0 */
#include "files.h"
#include "guard.h"
#include "json.h"

#include <stdlib.h>
#include <string.h>

#define LEAST_SIDE 3 /* of the crop: a point has four neighbours */
#define MOST_NUMBER 1e30

static int bad(weckd_why why, const char *what) { return weckd_fail(why, WECKD_ERR_FORMAT, "guard: %s", what); }

/* So that no score overflows, whatever the frame. */
static bool read_number(const json_t *value, double *to) {
    *to = json_number_value(value);
    return json_is_number(value) && *to >= -MOST_NUMBER && *to <= MOST_NUMBER;
}

static bool read_bar(const json_t *object, const char *key, weckd_bar *bar) {
    const json_t *value = json_object_get(object, key);
    bar->is_set = value != NULL && !json_is_null(value);
    return !bar->is_set || read_number(value, &bar->value);
}

static bool read_numbers(const json_t *list, size_t count, double *to) {
    bool good = json_is_array(list) && json_array_size(list) == count;
    for (size_t i = 0; good && i < count; i++) {
        good = read_number(json_array_get(list, i), &to[i]);
    }
    return good;
}

static int read_guard(const json_t *root, weckd_guard *guard, weckd_why why) {
    static const weckd_key keys[] = {{"bars", WECKD_OBJECT, false}, {"mean", WECKD_LIST, false},
                                     {"whitening", WECKD_LIST, false}, {"most_unfamiliar", WECKD_NUMBER_OR_NULL, false},
                                     {"schema_version", WECKD_WHOLE, true}, {0}};
    static const weckd_key bars[] = {{"least_sharpness", WECKD_NUMBER_OR_NULL, true},
                                     {"least_contrast", WECKD_NUMBER_OR_NULL, true},
                                     {"most_dark", WECKD_NUMBER_OR_NULL, true},
                                     {"most_bright", WECKD_NUMBER_OR_NULL, true}, {0}};
    const json_t *quality = json_object_get(root, "bars"), *rows = json_object_get(root, "whitening");
    const json_t *format = json_object_get(root, "schema_version");
    int status = weckd_json_expect(root, keys, "guard", why);
    status = status != WECKD_OK ? status : weckd_json_expect(quality, bars, "guard: bars", why);
    if (status != WECKD_OK) {
        return status;
    }
    if (format != NULL && json_integer_value(format) != WECKD_BUNDLE_FORMAT) {
        return weckd_fail(why, WECKD_ERR_NEWER, "guard: expected format %d, found %lld", WECKD_BUNDLE_FORMAT,
                          (long long)json_integer_value(format));
    }
    if (!read_bar(root, "most_unfamiliar", &guard->most_unfamiliar) ||
        !read_bar(quality, bars[0].name, &guard->least_sharpness) ||
        !read_bar(quality, bars[1].name, &guard->least_contrast) || !read_bar(quality, bars[2].name, &guard->most_dark) ||
        !read_bar(quality, bars[3].name, &guard->most_bright)) {
        return bad(why, "a bar beyond 1e30");
    }
    if (!read_numbers(json_object_get(root, "mean"), WECKD_GUARD_FEATURES, guard->mean) ||
        json_array_size(rows) != WECKD_GUARD_FEATURES) {
        return bad(why, "expected the mean of every feature and a triangle as high, no number beyond 1e30");
    }
    for (size_t i = 0; i < WECKD_GUARD_FEATURES; i++) {
        if (!read_numbers(json_array_get(rows, i), i + 1, guard->whitening[i])) {
            return bad(why, "'whitening' is no triangle of numbers within 1e30");
        }
    }
    return WECKD_OK;
}

int weckd_guard_parse(const char *text, size_t bytes, weckd_guard *guard, weckd_why why) {
    memset(guard, 0, sizeof *guard);
    json_t *root = weckd_json_read(text, bytes, "guard", why);
    if (root == NULL) {
        return WECKD_ERR_FORMAT;
    }
    int status = read_guard(root, guard, why);
    json_decref(root);
    return status;
}

static int read_file(int folder_fd, const weckd_file_ref *ref, weckd_guard *guard, weckd_why why) {
    if (ref->bytes > WECKD_GUARD_MOST_BYTES) {
        return weckd_fail(why, WECKD_ERR_LIMIT, "%.150s: expected at most %u bytes, got %llu", ref->path, WECKD_GUARD_MOST_BYTES,
                          (unsigned long long)ref->bytes);
    }
    char *text = malloc((size_t)ref->bytes + 1);
    weckd_guard *own = guard == NULL ? malloc(sizeof *own) : NULL;
    int status = WECKD_OK;
    if (text == NULL || (guard == NULL && own == NULL)) {
        status = weckd_fail(why, WECKD_ERR_MEMORY, "no memory for the guard");
    }
    status = status != WECKD_OK ? status : weckd_file_check(folder_fd, ref->path, ref->bytes, ref->sha256, text, why);
    status = status != WECKD_OK ? status : weckd_guard_parse(text, (size_t)ref->bytes, guard != NULL ? guard : own, why);
    free(own);
    free(text);
    return status;
}

int weckd_guard_read(int folder_fd, const weckd_manifest *manifest, weckd_guard *guard, weckd_why why) {
    if (manifest->guard.path == NULL) {
        return WECKD_OK;
    }
    if (manifest->contract.frame_width < LEAST_SIDE || manifest->contract.frame_height < LEAST_SIDE) {
        return bad(why, "the frame is too small for one");
    }
    return read_file(folder_fd, &manifest->guard, guard, why);
}
