/* SPDX-License-Identifier: Apache-2.0 */
#include "core/errors.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

int weckd_fail(weckd_error error, int status, const char *format, ...) {
    if (error.text != NULL) {
        va_list values;
        va_start(values, format);
        (void)vsnprintf(error.text, WECKD_MESSAGE_BYTES, format, values);
        va_end(values);
        /* Names come from files: their control characters must not reach a terminal or a journal. */
        for (unsigned char *c = (unsigned char *)error.text; *c != '\0'; c++) {
            bool is_c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0;
            if (*c < 0x20 || *c == 0x7f || is_c1) {
                c[is_c1] = '?';
                *c = '?';
            }
        }
    }
    return status;
}
