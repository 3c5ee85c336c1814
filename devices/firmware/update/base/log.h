/* Errors, warnings and results. Names and messages come from files that anybody may have made: what is not printable ASCII
 * is written as \xNN, so that no file gives orders to a terminal. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_LOG_H
#define WECKD_UPDATE_LOG_H

#include "base/update.h"

#include <stddef.h>

/* Store the message of a failure in `u->error` and return `status`. */
__attribute__((format(printf, 3, 4))) int log_fail(updater *u, int status, const char *format, ...);

/* Print a warning to standard error: something is wrong, and the work goes on. */
__attribute__((format(printf, 1, 2))) void log_warn(const char *format, ...);

/* Print a line of the result to standard output. */
__attribute__((format(printf, 1, 2))) void log_print(const char *format, ...);

#endif
