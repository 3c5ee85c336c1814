/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#define LINE_BYTES 2048

/* Copy text, each byte that is not printable ASCII as \xNN. The end that does not fit is left out; no escape is cut in two. */
static void escape(const char *from, char *to, size_t bytes) {
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    for (; *from != '\0'; from++) {
        unsigned char c = (unsigned char)*from;
        bool plain = c >= 0x20 && c <= 0x7e;
        if (at + (plain ? 1 : 4) >= bytes) {
            break;
        }
        if (plain) {
            to[at++] = (char)c;
        } else {
            to[at++] = '\\';
            to[at++] = 'x';
            to[at++] = digits[c >> 4];
            to[at++] = digits[c & 15];
        }
    }
    to[at] = '\0';
}

int log_fail(updater *u, int status, const char *format, ...) {
    char raw[sizeof u->error];
    va_list values;
    va_start(values, format);
    (void)vsnprintf(raw, sizeof raw, format, values);
    va_end(values);
    escape(raw, u->error, sizeof u->error);
    return status;
}

static void print_line(FILE *to, const char *before, const char *format, va_list values) {
    char raw[LINE_BYTES], line[LINE_BYTES];
    (void)vsnprintf(raw, sizeof raw, format, values);
    escape(raw, line, sizeof line);
    (void)fprintf(to, "%s%s\n", before, line);
}

void log_warn(const char *format, ...) {
    va_list values;
    va_start(values, format);
    print_line(stderr, "warning: ", format, values);
    va_end(values);
}

void log_print(const char *format, ...) {
    va_list values;
    va_start(values, format);
    print_line(stdout, "", format, values);
    va_end(values);
}
