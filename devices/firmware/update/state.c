/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "weckd-update 1"

bool state_is_id(const char *text) {
    return strlen(text) == STATE_ID_DIGITS && strspn(text, "0123456789abcdef") == STATE_ID_DIGITS;
}

bool state_on_trial(const store_state *state) {
    return state->current[0] != '\0' && strcmp(state->current, state->good) != 0;
}

bool state_is_refused(const store_state *state, const char *id) {
    for (uint32_t i = 0; i < state->refused_count; i++) {
        if (strcmp(state->refused[i], id) == 0) {
            return true;
        }
    }
    return false;
}

void state_take_again(store_state *state, const char *id) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < state->refused_count; i++) {
        if (strcmp(state->refused[i], id) != 0) {
            memmove(state->refused[kept++], state->refused[i], sizeof(bundle_id));
        }
    }
    state->refused_count = kept;
}

void state_refuse(store_state *state, const char *id) {
    state_take_again(state, id);
    if (state->refused_count == STATE_MOST_REFUSED) {
        memmove(state->refused[0], state->refused[1], (STATE_MOST_REFUSED - 1) * sizeof(bundle_id));
        state->refused_count--;
    }
    memcpy(state->refused[state->refused_count++], id, sizeof(bundle_id));
}

/* CRC-32 as in zip: against a worn memory, not against people. */
static uint32_t crc32_of(const char *data, size_t bytes) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= (uint8_t)data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xEDB88320u : 0u);
        }
    }
    return ~crc;
}

static const char *shown(const char *id) { return id[0] == '\0' ? "-" : id; }

__attribute__((format(printf, 3, 4))) static void add(char text[STATE_BYTES], size_t *at, const char *format, ...) {
    va_list values;
    va_start(values, format);
    *at += (size_t)vsnprintf(text + *at, STATE_BYTES - *at, format, values);
    va_end(values);
}

size_t state_print(const store_state *state, char text[STATE_BYTES]) {
    size_t at = 0;
    add(text, &at, HEAD "\ncurrent %s\ngood %s\nprevious %s\n", shown(state->current), shown(state->good), shown(state->previous));
    for (uint32_t i = 0; i < state->refused_count; i++) {
        add(text, &at, "refused %s\n", state->refused[i]);
    }
    add(text, &at, "tries %" PRIu32 "\nfloor %" PRIu64 "\n", state->tries, state->floor);
    add(text, &at, "crc32 %08" PRIx32 "\n", crc32_of(text, at));
    return at;
}

static const char *value_of(const char *line, const char *key) {
    size_t length = strlen(key);
    return strncmp(line, key, length) == 0 && line[length] == ' ' ? line + length + 1 : NULL;
}

static bool take_id(const char *line, const char *key, bundle_id id) {
    const char *value = value_of(line, key);
    if (value == NULL || !(state_is_id(value) || strcmp(value, "-") == 0)) {
        return false;
    }
    memcpy(id, value[0] == '-' ? "" : value, value[0] == '-' ? 1 : sizeof(bundle_id));
    return true;
}

/* A line in any order; that all are there once, in order, is seen when the state is printed again. */
static void take(const char *line, store_state *state) {
    const char *value = NULL;
    if (take_id(line, "current", state->current) || take_id(line, "good", state->good) ||
        take_id(line, "previous", state->previous)) {
        return;
    }
    if ((value = value_of(line, "refused")) != NULL && state_is_id(value) && state->refused_count < STATE_MOST_REFUSED) {
        memcpy(state->refused[state->refused_count++], value, sizeof(bundle_id));
    } else if ((value = value_of(line, "tries")) != NULL) {
        state->tries = (uint32_t)strtoul(value, NULL, 10);
    } else if ((value = value_of(line, "floor")) != NULL) {
        state->floor = strtoull(value, NULL, 10);
    }
}

bool state_parse(char *text, size_t bytes, store_state *state) {
    char again[STATE_BYTES], read[STATE_BYTES];
    memset(state, 0, sizeof *state);
    if (bytes == 0 || bytes >= sizeof read) {
        return false;
    }
    memcpy(read, text, bytes);
    text[bytes] = '\0';
    for (char *rest = text, *line = NULL; (line = strsep(&rest, "\n")) != NULL;) {
        take(line, state);
    }
    /* The same state has one spelling, its checksum included. */
    if (state_print(state, again) != bytes || memcmp(read, again, bytes) != 0) {
        memset(state, 0, sizeof *state);
        return false;
    }
    return true;
}
