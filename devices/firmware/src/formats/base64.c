/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/base64.h"

static int value_of(char c) {
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool weckd_base64_read(const char *text, size_t length, uint8_t *out, size_t *bytes) {
    if (length == 0 || length % 4 != 0) {
        return false;
    }
    size_t padding = text[length - 1] != '=' ? 0 : text[length - 2] != '=' ? 1 : 2;
    size_t done = 0;
    for (size_t i = 0; i < length; i += 4) {
        size_t digits = i + 4 == length ? 4 - padding : 4;
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = k < digits ? value_of(text[i + k]) : 0;
            if (value < 0) {
                return false;
            }
            group = group << 6 | (uint32_t)value;
        }
        /* Bits that no byte takes must be zero, or two texts would mean the same. */
        if ((digits == 3 && (group & 0xff) != 0) || (digits == 2 && (group & 0xffff) != 0)) {
            return false;
        }
        for (size_t k = 0; k + 1 < digits; k++) {
            out[done++] = (uint8_t)(group >> (16 - 8 * k));
        }
    }
    *bytes = done;
    return true;
}
