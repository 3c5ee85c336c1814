/* What is said to people. Names and messages come from files that anybody may have made: what is not printable ASCII is
 * written as \xNN, so that no file gives orders to a terminal. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_SAY_H
#define WECKD_UPDATE_SAY_H

#include "update.h"

#include <stddef.h>

/* Keep the reason of a failure in `u->why`, return `status`. */
__attribute__((format(printf, 3, 4))) int update_fail(updater *u, int status, const char *format, ...);

/* Print a line to standard error: something is wrong, and the work goes on. */
__attribute__((format(printf, 1, 2))) void update_warn(const char *format, ...);

/* Print a line to standard output. */
__attribute__((format(printf, 1, 2))) void update_say(const char *format, ...);

#endif
