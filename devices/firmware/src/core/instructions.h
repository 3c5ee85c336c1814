/* Vector instructions of this build and of the processor that it runs on. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_INSTRUCTIONS_H
#define WECKD_INSTRUCTIONS_H

#include <stdbool.h>

#if defined(__x86_64__) || (defined(__i386__) && defined(__SSE2__))
#define WECKD_BUILD_SSE2 /* and AVX2, by functions that are compiled for it */
#endif
#if defined(__ARM_NEON) && defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define WECKD_BUILD_NEON
#endif

/* Instructions that loops over pixels are written in; all give the same numbers. */
typedef enum weckd_instructions { WECKD_PLAIN, WECKD_SSE2, WECKD_AVX2, WECKD_NEON } weckd_instructions;

/* Tell whether this build and this processor have the instructions. */
bool weckd_has_instructions(weckd_instructions instructions);

/* Return the name of instructions: "plain", "sse2", "avx2" or "neon". */
const char *weckd_instructions_name(weckd_instructions instructions);

/* Return the fastest instructions that this build and this processor have. */
weckd_instructions weckd_best_instructions(void);

#endif
