/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest_parts.h"

#include "json.h"

#define ABSTAIN_LABELS "refuse_labels" /* key of the labels on which the model abstains */

static const weckd_key INPUT_KEYS[] = {
    {"frame_height", WECKD_WHOLE, false},
    {"frame_width", WECKD_WHOLE, false},
    {"input_size", WECKD_WHOLE, false},
    {"crop", WECKD_TEXT, false},
    {"resize", WECKD_TEXT, true},
    {"mean", WECKD_NUMBER_LIST, false},
    {"std", WECKD_NUMBER_LIST, false},
    {0},
};

static const weckd_key POINT_KEYS[] = {
    {"abstain_below", WECKD_NUMBER, false},
    {ABSTAIN_LABELS, WECKD_TEXT_LIST, true},
    {0},
};

int weckd_manifest_read_labels(weckd_manifest *manifest, weckd_error error) {
    manifest->labels = json_object_get(manifest->root, "labels");
    size_t count = json_array_size(manifest->labels);
    if (count == 0) {
        return weckd_manifest_bad(error, "'labels' is empty");
    }
    if (count > WECKD_MAX_CLASSES) {
        return weckd_fail(error, WECKD_ERR_LIMIT, "manifest.json: %zu labels, at most %d are accepted", count, WECKD_MAX_CLASSES);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *label = json_array_get(manifest->labels, i);
        if (json_string_length(label) >= WECKD_MAX_LABEL_BYTES) {
            return weckd_fail(error, WECKD_ERR_LIMIT, "manifest.json: label %zu is longer than %d bytes", i,
                              WECKD_MAX_LABEL_BYTES - 1);
        }
        if (json_string_length(label) == 0) {
            return weckd_manifest_bad(error, "a label is empty");
        }
        for (size_t k = 0; k < i; k++) {
            if (json_equal(label, json_array_get(manifest->labels, k))) {
                return weckd_manifest_bad(error, "two labels are equal");
            }
        }
    }
    manifest->contract.classes = (uint32_t)count;
    return WECKD_OK;
}

/* Labels on which the model abstains are labels of the bundle. */
static int read_abstain_labels(weckd_manifest *manifest, const json_t *list, weckd_error error) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *label = json_array_get(list, i);
        size_t at = 0;
        while (at < manifest->contract.classes && !json_equal(label, json_array_get(manifest->labels, at))) {
            at++;
        }
        if (at == manifest->contract.classes) {
            return weckd_manifest_bad(error, "'" ABSTAIN_LABELS "' has a text that is no label");
        }
    }
    manifest->abstain_labels = list;
    return WECKD_OK;
}

static int read_side(const json_t *input, const char *key, uint32_t *side, weckd_error error) {
    uint64_t pixels = 0;
    if (!weckd_json_count(input, key, INT64_MAX, &pixels) || pixels == 0) {
        return weckd_fail(error, WECKD_ERR_FORMAT, "manifest.json: input: '%s' is under 1", key);
    }
    if (pixels > WECKD_MAX_SIDE) {
        return weckd_fail(error, WECKD_ERR_LIMIT, "manifest.json: input: '%s' is over %d pixels", key, WECKD_MAX_SIDE);
    }
    *side = (uint32_t)pixels;
    return WECKD_OK;
}

int weckd_manifest_read_input(weckd_manifest *manifest, weckd_error error) {
    const json_t *input = json_object_get(manifest->root, "input"), *point = json_object_get(manifest->root, "operating_point");
    weckd_contract *contract = &manifest->contract;
    int status = weckd_json_expect(input, INPUT_KEYS, "manifest.json: input", error);
    if (status != WECKD_OK) {
        return status;
    }
    status = read_side(input, "frame_height", &contract->frame_height, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = read_side(input, "frame_width", &contract->frame_width, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = read_side(input, "input_size", &contract->input_size, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = weckd_json_expect(point, POINT_KEYS, "manifest.json: operating_point", error);
    if (status != WECKD_OK) {
        return status;
    }
    if (!weckd_json_is_one_of(input, "crop", (const char *const[]){"center", "stretch", NULL}) ||
        (json_object_get(input, "resize") != NULL &&
         !weckd_json_is_one_of(input, "resize", (const char *const[]){"diagonal", "bilinear", NULL})) ||
        json_array_size(json_object_get(input, "mean")) != 3 || json_array_size(json_object_get(input, "std")) != 3) {
        return weckd_manifest_bad(error, "input: 'crop' or 'resize' is unknown, or 'mean' or 'std' is not 3 numbers");
    }
    manifest->is_stretched = weckd_json_is_one_of(input, "crop", (const char *const[]){"stretch", NULL});
    contract->abstain_below = json_number_value(json_object_get(point, "abstain_below"));
    return read_abstain_labels(manifest, json_object_get(point, ABSTAIN_LABELS), error);
}
