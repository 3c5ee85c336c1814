/* SPDX-License-Identifier: Apache-2.0 */
#include "fail.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

int weckd_fail(weckd_why why, int status, const char *format, ...) {
    if (why.text != NULL) {
        va_list values;
        va_start(values, format);
        (void)vsnprintf(why.text, WECKD_MESSAGE_BYTES, format, values);
        va_end(values);
        /* Names come from files: what a file says must not steer the terminal or the journal that it is told to. */
        for (unsigned char *c = (unsigned char *)why.text; *c != '\0'; c++) {
            bool is_c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0;
            if (*c < 0x20 || *c == 0x7f || is_c1) {
                c[is_c1] = '?';
                *c = '?';
            }
        }
    }
    return status;
}
