/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle/manifest_parts.h"

#include "formats/json.h"

#define NON_GRADEABLE_LABELS "non_gradeable_labels" /* key of the labels on which the model abstains */

static const weckd_key INPUT_KEYS[] = {
    {"frame", WECKD_OBJECT, false},
    {"network", WECKD_OBJECT, false},
    {0},
};

static const weckd_key FRAME_KEYS[] = {
    {"height", WECKD_WHOLE, false},
    {"width", WECKD_WHOLE, false},
    {"crop", WECKD_TEXT, false},
    {"resize", WECKD_TEXT, true},
    {"crop_size", WECKD_ANY, true},
    {"scaled_size", WECKD_ANY, true},
    {0},
};

static const char *const RESIZES[] = {"area", "bilinear", "antialiased_bilinear", "antialiased_bicubic", NULL};

static const weckd_key NETWORK_KEYS[] = {
    {"height", WECKD_WHOLE, false},
    {"width", WECKD_WHOLE, false},
    {"mean", WECKD_NUMBER_LIST, false},
    {"std", WECKD_NUMBER_LIST, false},
    {0},
};

static const weckd_key POINT_KEYS[] = {
    {"confidence_threshold", WECKD_NUMBER, false},
    {NON_GRADEABLE_LABELS, WECKD_TEXT_LIST, true},
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

/* Read the labels on which the model abstains: each must be a label of the bundle. */
static int read_non_gradeable(weckd_manifest *manifest, const json_t *list, weckd_error error) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *label = json_array_get(list, i);
        size_t at = 0;
        while (at < manifest->contract.classes && !json_equal(label, json_array_get(manifest->labels, at))) {
            at++;
        }
        if (at == manifest->contract.classes) {
            return weckd_manifest_bad(error, "'" NON_GRADEABLE_LABELS "' has a text that is no label");
        }
    }
    manifest->non_gradeable_labels = list;
    return WECKD_OK;
}

static int read_side(const json_t *part, const char *key, uint32_t *side, weckd_error error) {
    uint64_t pixels = 0;
    if (!weckd_json_count(part, key, INT64_MAX, &pixels) || pixels == 0) {
        return weckd_fail(error, WECKD_ERR_FORMAT, "manifest.json: input: '%s' is under 1", key);
    }
    if (pixels > WECKD_MAX_SIDE) {
        return weckd_fail(error, WECKD_ERR_LIMIT, "manifest.json: input: '%s' is over %d pixels", key, WECKD_MAX_SIDE);
    }
    *side = (uint32_t)pixels;
    return WECKD_OK;
}

/* Read an optional key of the frame with two sides, height and width; 0 and 0: it is missing or null. */
static int read_sides(const json_t *frame, const char *key, uint32_t sides[2], weckd_error error) {
    const json_t *pair = json_object_get(frame, key);
    sides[0] = sides[1] = 0;
    if (pair == NULL || json_is_null(pair)) {
        return WECKD_OK;
    }
    if (json_array_size(pair) != 2) {
        return weckd_fail(error, WECKD_ERR_FORMAT, "manifest.json: input.frame: '%s' is not 2 whole numbers", key);
    }
    for (size_t i = 0; i < 2; i++) {
        const json_t *side = json_array_get(pair, i);
        if (!json_is_integer(side) || json_integer_value(side) < 1) {
            return weckd_fail(error, WECKD_ERR_FORMAT, "manifest.json: input.frame: a side of '%s' is no whole number over 0", key);
        }
        if (json_integer_value(side) > WECKD_MAX_SIDE) {
            return weckd_fail(error, WECKD_ERR_LIMIT, "manifest.json: input.frame: a side of '%s' is over %d pixels", key,
                              WECKD_MAX_SIDE);
        }
        sides[i] = (uint32_t)json_integer_value(side);
    }
    return WECKD_OK;
}

/* Read which centred part of the frame the network sees, and to what the whole frame is scaled. */
static int read_crop(weckd_manifest *manifest, const json_t *frame, weckd_error error) {
    uint32_t height = manifest->contract.frame_height, width = manifest->contract.frame_width, sides[2];
    int status = read_sides(frame, "crop_size", sides, error);
    if (status != WECKD_OK) {
        return status;
    }
    if (sides[0] > height || sides[1] > width) {
        return weckd_manifest_bad(error, "input.frame: 'crop_size' is larger than the frame");
    }
    bool is_stretched = weckd_json_is_one_of(frame, "crop", (const char *const[]){"stretch", NULL});
    uint32_t square = width < height ? width : height;
    manifest->crop_height = sides[0] != 0 ? sides[0] : is_stretched ? height : square;
    manifest->crop_width = sides[1] != 0 ? sides[1] : is_stretched ? width : square;
    return read_sides(frame, "scaled_size", manifest->scaled_size, error);
}

/* Read the geometry of the camera frame, and what the graph keeps of it. */
static int read_frame(weckd_manifest *manifest, const json_t *frame, weckd_error error) {
    int status = weckd_json_expect(frame, FRAME_KEYS, "manifest.json: input.frame", error);
    if (status != WECKD_OK) {
        return status;
    }
    status = read_side(frame, "height", &manifest->contract.frame_height, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = read_side(frame, "width", &manifest->contract.frame_width, error);
    if (status != WECKD_OK) {
        return status;
    }
    if (!weckd_json_is_one_of(frame, "crop", (const char *const[]){"center", "stretch", NULL}) ||
        (json_object_get(frame, "resize") != NULL && !weckd_json_is_one_of(frame, "resize", RESIZES))) {
        return weckd_manifest_bad(error, "input.frame: 'crop' or 'resize' is unknown");
    }
    manifest->graph_takes_pixels = weckd_json_is_one_of(frame, "resize", (const char *const[]){"area", NULL});
    return read_crop(manifest, frame, error);
}

/* Read the network's own input, which the graph makes of the frame. */
static int read_network(weckd_manifest *manifest, const json_t *network, weckd_error error) {
    int status = weckd_json_expect(network, NETWORK_KEYS, "manifest.json: input.network", error);
    if (status != WECKD_OK) {
        return status;
    }
    weckd_contract *contract = &manifest->contract;
    status = read_side(network, "height", &contract->input_height, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = read_side(network, "width", &contract->input_width, error);
    if (status != WECKD_OK) {
        return status;
    }
    const uint32_t *scaled = manifest->scaled_size;
    if (scaled[0] != 0 && (scaled[0] < contract->input_height || scaled[1] < contract->input_width)) {
        return weckd_manifest_bad(error, "input.frame: 'scaled_size' is smaller than the network's input");
    }
    if (json_array_size(json_object_get(network, "mean")) != 3 || json_array_size(json_object_get(network, "std")) != 3) {
        return weckd_manifest_bad(error, "input.network: 'mean' or 'std' is not 3 numbers");
    }
    return WECKD_OK;
}

int weckd_manifest_read_input(weckd_manifest *manifest, weckd_error error) {
    const json_t *input = json_object_get(manifest->root, "input"), *point = json_object_get(manifest->root, "operating_point");
    int status = weckd_json_expect(input, INPUT_KEYS, "manifest.json: input", error);
    if (status != WECKD_OK) {
        return status;
    }
    status = read_frame(manifest, json_object_get(input, "frame"), error);
    if (status != WECKD_OK) {
        return status;
    }
    status = read_network(manifest, json_object_get(input, "network"), error);
    if (status != WECKD_OK) {
        return status;
    }
    status = weckd_json_expect(point, POINT_KEYS, "manifest.json: operating_point", error);
    if (status != WECKD_OK) {
        return status;
    }
    manifest->contract.confidence_threshold = json_number_value(json_object_get(point, "confidence_threshold"));
    return read_non_gradeable(manifest, json_object_get(point, NON_GRADEABLE_LABELS), error);
}
