/* The functions of the C library that Python calls, by ctypes: devices/native/library.py. SPDX-License-Identifier: Apache-2.0 */
#include "guard/guard.h"

#include <string.h>

/* Digest of the sources that this was compiled of: the loader refuses a library of other ones. */
WECKD_EXPORT const char *weckd_pixels_digest(void);
WECKD_EXPORT const char *weckd_pixels_digest(void) { return WECKD_SOURCES_DIGEST; }

/* Name of the vector instructions that are used on this processor. */
WECKD_EXPORT const char *weckd_pixels_instructions(void);
WECKD_EXPORT const char *weckd_pixels_instructions(void) { return weckd_instructions_name(weckd_best_instructions()); }
