/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/json.h"

#include "core/bounds.h"

#include <string.h>

/* Tell whether nesting stays within the limit. The parser calls itself for each level, so this is asked before it starts. */
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

int weckd_json_read(const char *text, size_t bytes, const char *where, json_t **root, weckd_error error) {
    *root = NULL;
    if (!is_shallow(text, bytes)) {
        return weckd_fail(error, WECKD_ERR_FORMAT, "%.120s: JSON nested more than %d deep", where, WECKD_MAX_JSON_DEPTH);
    }
    json_error_t parse_error;
    json_t *found = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &parse_error);
    if (found == NULL && parse_error.text[0] == '\0') { /* of a text that is wrong, the parser always says what is wrong */
        return weckd_fail(error, WECKD_ERR_MEMORY, "%.120s: no memory to read it", where);
    }
    if (!json_is_object(found)) {
        const char *what = found == NULL ? parse_error.text : "another value";
        json_decref(found);
        return weckd_fail(error, WECKD_ERR_FORMAT, "%.120s: expected a JSON object, found something else (%.80s)", where, what);
    }
    *root = found;
    return WECKD_OK;
}

static bool is_of_kind(const json_t *value, weckd_kind kind) {
    switch (kind) {
    case WECKD_ANY: return true;
    case WECKD_BOOLEAN: return json_is_boolean(value);
    case WECKD_WHOLE: return json_is_integer(value);
    case WECKD_WHOLE_OR_NULL: return json_is_integer(value) || json_is_null(value);
    case WECKD_NUMBER: return json_is_number(value);
    case WECKD_NUMBER_OR_NULL: return json_is_number(value) || json_is_null(value);
    case WECKD_TEXT: return json_is_string(value);
    case WECKD_TEXT_OR_NULL: return json_is_string(value) || json_is_null(value);
    case WECKD_OBJECT:
    case WECKD_NUMBERS:
    case WECKD_TEXTS: return json_is_object(value);
    case WECKD_LIST:
    case WECKD_NUMBER_LIST:
    case WECKD_TEXT_LIST: return json_is_array(value);
    }
    return false;
}

/* Check the values in a list or an object, where its kind names theirs. */
static bool holds_its_kind(json_t *value, weckd_kind kind) {
    bool numbers = kind == WECKD_NUMBERS || kind == WECKD_NUMBER_LIST;
    bool texts = kind == WECKD_TEXTS || kind == WECKD_TEXT_LIST;
    weckd_kind inner = numbers ? WECKD_NUMBER : WECKD_TEXT;
    const char *key;
    json_t *item;
    size_t i;
    if (!numbers && !texts) {
        return true;
    }
    json_array_foreach(value, i, item) {
        if (!is_of_kind(item, inner)) {
            return false;
        }
    }
    json_object_foreach(value, key, item) {
        if (!is_of_kind(item, inner)) {
            return false;
        }
    }
    return true;
}

int weckd_json_expect(const json_t *object, const weckd_key *keys, const char *where, weckd_error error) {
    if (!json_is_object(object)) {
        return weckd_fail(error, WECKD_ERR_FORMAT, "%.120s: no object", where);
    }
    size_t known = 0;
    for (size_t i = 0; keys[i].name != NULL; i++) {
        json_t *value = json_object_get(object, keys[i].name);
        if (value == NULL ? !keys[i].is_optional : !is_of_kind(value, keys[i].kind) || !holds_its_kind(value, keys[i].kind)) {
            return weckd_fail(error, WECKD_ERR_FORMAT, "%.120s: '%s' is %s", where, keys[i].name,
                              value == NULL ? "missing" : "of another type");
        }
        known += value != NULL;
    }
    return known == json_object_size(object)
               ? WECKD_OK
               : weckd_fail(error, WECKD_ERR_FORMAT, "%.120s: a key that this format does not have", where);
}

bool weckd_json_is_one_of(const json_t *object, const char *key, const char *const *values) {
    const json_t *text = json_object_get(object, key);
    for (size_t i = 0; json_is_string(text) && values[i] != NULL; i++) {
        if (strcmp(json_string_value(text), values[i]) == 0) {
            return true;
        }
    }
    return false;
}

const char *weckd_json_text(const json_t *object, const char *key, size_t max) {
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) && json_string_length(value) <= max ? json_string_value(value) : NULL;
}

bool weckd_json_count(const json_t *object, const char *key, uint64_t max, uint64_t *value) {
    const json_t *found = json_object_get(object, key);
    if (!json_is_integer(found) || json_integer_value(found) < 0 || (uint64_t)json_integer_value(found) > max) {
        return false;
    }
    *value = (uint64_t)json_integer_value(found);
    return true;
}
