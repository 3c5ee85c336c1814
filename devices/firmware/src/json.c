/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include "bounds.h"

#include <math.h>
#include <string.h>

/* The parser calls itself for each level, so that depth is bounded before it starts. */
static bool is_shallow(const char *text, size_t bytes) {
    int depth = 0;
    bool inside = false;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        if (inside) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                inside = false;
            }
        } else if (c == '"') {
            inside = true;
        } else if (c == '{' || c == '[') {
            if (++depth > WECKD_MAX_JSON_DEPTH) {
                return false;
            }
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return true;
}

json_t *weckd_json_read(const char *text, size_t bytes, const char *where, weckd_why why) {
    if (!is_shallow(text, bytes)) {
        (void)weckd_fail(why, WECKD_ERR_LIMIT, "%.120s: JSON nested more than %d deep", where, WECKD_MAX_JSON_DEPTH);
        return NULL;
    }
    json_error_t error;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(root)) {
        (void)weckd_fail(why, WECKD_ERR_FORMAT, "%.120s: expected a JSON object, found something else (%.80s)", where,
                         root == NULL ? error.text : "another value");
        json_decref(root);
        return NULL;
    }
    return root;
}

bool weckd_json_only(const json_t *object, const char *const *keys) {
    if (!json_is_object(object)) {
        return false;
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        size_t i = 0;
        while (keys[i] != NULL && strcmp(keys[i], key) != 0) {
            i++;
        }
        if (keys[i] == NULL) {
            return false;
        }
    }
    return true;
}

const char *weckd_json_text(const json_t *object, const char *key, size_t most) {
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) && json_string_length(value) <= most ? json_string_value(value) : NULL;
}

bool weckd_json_count(const json_t *object, const char *key, uint64_t most, uint64_t *value) {
    const json_t *found = json_object_get(object, key);
    if (!json_is_integer(found) || json_integer_value(found) < 0 || (uint64_t)json_integer_value(found) > most) {
        return false;
    }
    *value = (uint64_t)json_integer_value(found);
    return true;
}

bool weckd_json_number(const json_t *object, const char *key, double *value) {
    const json_t *found = json_object_get(object, key);
    if (!json_is_number(found)) {
        return false;
    }
    *value = json_number_value(found);
    return isfinite(*value) != 0;
}
