/* SPDX-License-Identifier: Apache-2.0 */
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>

int weckd_fail(weckd_why why, int status, const char *format, ...) {
    if (why.text != NULL) {
        va_list values;
        va_start(values, format);
        (void)vsnprintf(why.text, WECKD_MESSAGE_BYTES, format, values);
        va_end(values);
    }
    return status;
}
