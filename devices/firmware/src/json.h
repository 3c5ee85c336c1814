/* JSON as this library takes it: UTF-8, no key twice, not nested deeply, every key known. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_JSON_H
#define WECKD_JSON_H

#include "fail.h"

#include <jansson.h>
#include <stdbool.h>

/* Parse; the root is an object. The caller calls json_decref. NULL: it is not such a text, and the reason is written. */
json_t *weckd_json_read(const char *text, size_t bytes, const char *where, weckd_why why);

/* Tell whether `object` is an object whose keys are all among `keys` (ended by NULL). */
bool weckd_json_only(const json_t *object, const char *const *keys);

/* Return a text of at most `most` bytes, its NUL not counted; NULL: it is missing, of another type, or longer. */
const char *weckd_json_text(const json_t *object, const char *key, size_t most);

/* Read a whole number of 0..most. */
bool weckd_json_count(const json_t *object, const char *key, uint64_t most, uint64_t *value);

/* Read a finite number. */
bool weckd_json_number(const json_t *object, const char *key, double *value);

#endif
