/* SPDX-License-Identifier: Apache-2.0 */
#include "store/state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "weckd-update 1"

bool state_is_id(const char *text) {
    return strlen(text) == STATE_ID_DIGITS && strspn(text, "0123456789abcdef") == STATE_ID_DIGITS;
}

bool state_is_unconfirmed(const store_state *state) {
    return state->current[0] != '\0' && strcmp(state->current, state->good) != 0;
}

bool state_is_rejected(const store_state *state, const char *id) {
    for (uint32_t i = 0; i < state->rejected_count; i++) {
        if (strcmp(state->rejected[i], id) == 0) {
            return true;
        }
    }
    return false;
}

void state_clear_rejection(store_state *state, const char *id) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < state->rejected_count; i++) {
        if (strcmp(state->rejected[i], id) != 0) {
            memmove(state->rejected[count++], state->rejected[i], sizeof(bundle_id));
        }
    }
    state->rejected_count = count;
}

void state_reject(store_state *state, const char *id) {
    state_clear_rejection(state, id);
    if (state->rejected_count == STATE_MAX_REJECTED) {
        memmove(state->rejected[0], state->rejected[1], (STATE_MAX_REJECTED - 1) * sizeof(bundle_id));
        state->rejected_count--;
    }
    memcpy(state->rejected[state->rejected_count++], id, sizeof(bundle_id));
}

const char *state_before(const store_state *state) { return state->good[0] != '\0' ? state->good : state->previous; }

void state_go_back(store_state *state) {
    bool was_confirmed = state->good[0] != '\0';
    state_reject(state, state->current);
    memcpy(state->current, state_before(state), sizeof state->current);
    state->attempts = 0;
    if (!was_confirmed) {
        state->previous[0] = '\0';
    }
}

/* Return the CRC-32 as zip has it. It finds the errors of a worn memory; against forgery there is the signature. */
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
    for (uint32_t i = 0; i < state->rejected_count; i++) {
        add(text, &at, "rejected %s\n", state->rejected[i]);
    }
    add(text, &at, "attempts %" PRIu32 "\nmin_version %" PRIu64 "\n", state->attempts, state->min_version);
    add(text, &at, "crc32 %08" PRIx32 "\n", crc32_of(text, at));
    return at;
}

static const char *value_of(const char *line, const char *key) {
    size_t length = strlen(key);
    return strncmp(line, key, length) == 0 && line[length] == ' ' ? line + length + 1 : NULL;
}

static bool read_id(const char *line, const char *key, bundle_id id) {
    const char *value = value_of(line, key);
    if (value == NULL || !(state_is_id(value) || strcmp(value, "-") == 0)) {
        return false;
    }
    memcpy(id, value[0] == '-' ? "" : value, value[0] == '-' ? 1 : sizeof(bundle_id));
    return true;
}

/* Read a line, in any order; that all are there once, in order, is checked by printing the state again. */
static void read_line(const char *line, store_state *state) {
    const char *value = NULL;
    if (read_id(line, "current", state->current) || read_id(line, "good", state->good) ||
        read_id(line, "previous", state->previous)) {
        return;
    }
    if ((value = value_of(line, "rejected")) != NULL && state_is_id(value) && state->rejected_count < STATE_MAX_REJECTED) {
        memcpy(state->rejected[state->rejected_count++], value, sizeof(bundle_id));
    } else if ((value = value_of(line, "attempts")) != NULL) {
        state->attempts = (uint32_t)strtoul(value, NULL, 10);
    } else if ((value = value_of(line, "min_version")) != NULL) {
        state->min_version = strtoull(value, NULL, 10);
    }
}

bool state_parse(char *text, size_t bytes, store_state *state) {
    char printed[STATE_BYTES], original[STATE_BYTES];
    memset(state, 0, sizeof *state);
    if (bytes == 0 || bytes >= sizeof original) {
        return false;
    }
    memcpy(original, text, bytes);
    text[bytes] = '\0';
    for (char *rest = text, *line = NULL; (line = strsep(&rest, "\n")) != NULL;) {
        read_line(line, state);
    }
    /* The same state has one spelling, its checksum included. */
    if (state_print(state, printed) != bytes || memcmp(original, printed, bytes) != 0) {
        memset(state, 0, sizeof *state);
        return false;
    }
    return true;
}
