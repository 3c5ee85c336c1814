/* JSON as this library accepts it: UTF-8, no key twice, not nested deeply, every key known. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_JSON_H
#define WECKD_JSON_H

#include "core/errors.h"

#include <jansson.h>
#include <stdbool.h>

/* Parse a text whose root is an object, and write it to `*root`; the caller calls json_decref. WECKD_ERR_FORMAT: it is no such JSON,
 * or nested too deeply. WECKD_ERR_MEMORY: there is no memory for it. In both cases `*root` is NULL. */
int weckd_json_read(const char *text, size_t bytes, const char *where, json_t **root, weckd_error error);

/* Kind of a key's value. Numbers are finite: the parser refuses others, and whole ones beyond 63 bits. */
typedef enum weckd_kind {
    WECKD_ANY,
    WECKD_BOOLEAN,
    WECKD_WHOLE,
    WECKD_NUMBER,
    WECKD_WHOLE_OR_NULL,
    WECKD_NUMBER_OR_NULL,
    WECKD_TEXT,
    WECKD_TEXT_OR_NULL,
    WECKD_OBJECT,
    WECKD_NUMBERS, /* object of numbers */
    WECKD_TEXTS,   /* object of texts */
    WECKD_LIST,
    WECKD_NUMBER_LIST,
    WECKD_TEXT_LIST
} weckd_kind;

/* A key of an object; a list of them ends with a key that is NULL. */
typedef struct weckd_key {
    const char *name;
    weckd_kind kind;
    bool is_optional;
} weckd_key;

/* Check an object's keys: each is there or optional, each is of its kind, and there is no other. WECKD_OK, or
 * WECKD_ERR_FORMAT and the wrong key; `where` names the object in the error. */
int weckd_json_expect(const json_t *object, const weckd_key *keys, const char *where, weckd_error error);

/* Tell whether the text of a key is one of `values` (ended by NULL). */
bool weckd_json_is_one_of(const json_t *object, const char *key, const char *const *values);

/* Return a text of at most `max` bytes, its NUL not counted; NULL: it is missing, of another type, or longer. */
const char *weckd_json_text(const json_t *object, const char *key, size_t max);

/* Read a whole number of 0..max. */
bool weckd_json_count(const json_t *object, const char *key, uint64_t max, uint64_t *value);

#endif
