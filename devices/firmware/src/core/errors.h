/* The one way to write the message of a failure. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_ERRORS_H
#define WECKD_ERRORS_H

#include "weckd_edge.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Place for the message: WECKD_MESSAGE_BYTES of text, or NULL where nobody reads it. */
typedef struct weckd_error {
    char *text;
} weckd_error;

/* Write the message and return `status`. Never allocates. */
__attribute__((format(printf, 3, 4))) int weckd_fail(weckd_error error, int status, const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif
