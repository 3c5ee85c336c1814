/* The rule of an examination, checked as weckd_edge/bundle/exam_rules.py checks it. SPDX-License-Identifier: Apache-2.0 */
#include "bundle/manifest_parts.h"

#include "formats/json.h"

static const weckd_key EXAM_KEYS[] = {
    {"evidence", WECKD_TEXT, false},
    {"top_k", WECKD_WHOLE, false},
    {"rank", WECKD_TEXT, false},
    {"weights", WECKD_ANY, false},
    {"scale", WECKD_NUMBER, false},
    {"duplicate_distance", WECKD_NUMBER_OR_NULL, false},
    {"min_frames", WECKD_WHOLE, false},
    {"max_frames", WECKD_WHOLE, false},
    {"stop_lead", WECKD_WHOLE_OR_NULL, false},
    {"confidence_threshold", WECKD_NUMBER, false},
    {0},
};

static const weckd_key WEIGHT_KEYS[] = {
    {"sharpness_edges", WECKD_NUMBER_LIST, false},
    {"confidence_edges", WECKD_NUMBER_LIST, false},
    {"table", WECKD_LIST, false},
    {0},
};

static int bad(weckd_error error, const char *what) {
    return weckd_fail(error, WECKD_ERR_FORMAT, "manifest.json: exam: %s", what);
}

static bool read_whole(const json_t *exam, const char *key, json_int_t least, json_int_t most, uint32_t *to) {
    json_int_t found = json_integer_value(json_object_get(exam, key));
    *to = (uint32_t)found;
    return found >= least && found <= most;
}

static bool read_number(const json_t *exam, const char *key, double least, double most, double *to) {
    *to = json_number_value(json_object_get(exam, key));
    return *to >= least && *to <= most;
}

static bool read_edges(const json_t *weights, const char *key, weckd_exam_edges *edges) {
    const json_t *list = json_object_get(weights, key);
    if (json_array_size(list) > WECKD_EXAM_MAX_EDGES) {
        return false;
    }
    edges->count = (uint32_t)json_array_size(list);
    for (uint32_t i = 0; i < edges->count; i++) {
        edges->at[i] = json_number_value(json_array_get(list, i));
        if (i > 0 && !(edges->at[i - 1] < edges->at[i])) {
            return false;
        }
    }
    return true;
}

static bool read_table(const json_t *table, weckd_exam_rule *rule) {
    uint32_t rows = rule->sharpness.count + 1, columns = rule->confidence.count + 1;
    if (json_array_size(table) != rows) {
        return false;
    }
    for (uint32_t i = 0; i < rows; i++) {
        const json_t *row = json_array_get(table, i);
        if (!json_is_array(row) || json_array_size(row) != columns) {
            return false;
        }
        for (uint32_t j = 0; j < columns; j++) {
            const json_t *weight = json_array_get(row, j);
            json_int_t found = json_integer_value(weight);
            if (!json_is_integer(weight) || found < 0 || found > WECKD_EXAM_MAX_WEIGHT) {
                return false;
            }
            rule->weights[i][j] = (uint8_t)found;
            rule->heaviest = rule->weights[i][j] > rule->heaviest ? rule->weights[i][j] : rule->heaviest;
        }
    }
    return rule->heaviest > 0;
}

static int read_weights(const json_t *weights, weckd_exam_rule *rule, weckd_error error) {
    if (json_is_null(weights)) {
        rule->weights[0][0] = rule->heaviest = 1;
        return WECKD_OK;
    }
    int status = weckd_json_expect(weights, WEIGHT_KEYS, "manifest.json: exam: weights", error);
    if (status != WECKD_OK) {
        return status;
    }
    if (!read_edges(weights, "sharpness_edges", &rule->sharpness) || !read_edges(weights, "confidence_edges", &rule->confidence)) {
        return bad(error, "expected edges of at most 7 rising numbers");
    }
    return read_table(json_object_get(weights, "table"), rule)
               ? WECKD_OK
               : bad(error, "expected a table of the edges' shape of weights of 0 to 255, one of them over 0");
}

static int read_numbers(const json_t *exam, weckd_exam_rule *rule, weckd_error error) {
    bool counts_are_good = read_whole(exam, "top_k", 0, WECKD_EXAM_MAX_TOP_K, &rule->top_k) &&
                           read_whole(exam, "max_frames", 1, WECKD_EXAM_MAX_FRAMES, &rule->max_frames) &&
                           read_whole(exam, "min_frames", 1, rule->max_frames, &rule->min_frames);
    if (!counts_are_good) {
        return bad(error, "'top_k', 'min_frames' or 'max_frames' is out of its range");
    }
    if (!read_number(exam, "confidence_threshold", 0.0, 1.0, &rule->confidence_threshold) ||
        !read_number(exam, "scale", 0.0, WECKD_EXAM_MAX_SCALE, &rule->scale) || rule->scale == 0.0) {
        return bad(error, "'confidence_threshold' or 'scale' is out of its range");
    }
    const json_t *lead = json_object_get(exam, "stop_lead");
    rule->has_distance = !json_is_null(json_object_get(exam, "duplicate_distance"));
    rule->has_lead = !json_is_null(lead);
    rule->stop_lead = json_integer_value(lead);
    if (rule->has_distance &&
        !read_number(exam, "duplicate_distance", 0.0, WECKD_EXAM_MAX_DISTANCE, &rule->duplicate_distance)) {
        return bad(error, "'duplicate_distance' is out of its range");
    }
    if (rule->has_lead && (rule->stop_lead < 0 || rule->stop_lead > WECKD_EXAM_MAX_LEAD)) {
        return bad(error, "'stop_lead' is out of its range");
    }
    return WECKD_OK;
}

int weckd_manifest_read_exam(weckd_manifest *manifest, weckd_error error) {
    const json_t *exam = json_object_get(manifest->root, "exam");
    weckd_exam_rule *rule = &manifest->exam;
    int status = weckd_json_expect(exam, EXAM_KEYS, "manifest.json: exam", error);
    if (status != WECKD_OK) {
        return status;
    }
    if (!weckd_json_is_one_of(exam, "evidence", (const char *const[]){"log_probability", "vote", NULL}) ||
        !weckd_json_is_one_of(exam, "rank", (const char *const[]){"sharpness", "confidence", NULL})) {
        return bad(error, "'evidence' or 'rank' is unknown");
    }
    rule->votes = weckd_json_is_one_of(exam, "evidence", (const char *const[]){"vote", NULL});
    rule->ranks_by_confidence = weckd_json_is_one_of(exam, "rank", (const char *const[]){"confidence", NULL});
    status = read_numbers(exam, rule, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = read_weights(json_object_get(exam, "weights"), rule, error);
    if (status != WECKD_OK) {
        return status;
    }
    bool needs_guard = rule->has_distance || rule->sharpness.count > 0 || (rule->top_k > 0 && !rule->ranks_by_confidence);
    return needs_guard && manifest->contract.has_guard == 0
               ? bad(error, "expected a guard for a rule by sharpness or with a 'duplicate_distance'")
               : WECKD_OK;
}
