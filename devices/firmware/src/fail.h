/* One place for the reason of a failure. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_FAIL_H
#define WECKD_FAIL_H

#include "weckd_edge.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where the reason goes: WECKD_MESSAGE_BYTES of text, or NULL. */
typedef struct weckd_why {
    char *text;
} weckd_why;

/* Write the reason and return `status`. Never allocates. */
__attribute__((format(printf, 3, 4))) int weckd_fail(weckd_why why, int status, const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif
