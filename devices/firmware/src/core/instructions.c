/* SPDX-License-Identifier: Apache-2.0 */
#include "core/instructions.h"

#include <stddef.h>

bool weckd_has_instructions(weckd_instructions instructions) {
    switch (instructions) {
    case WECKD_PLAIN:
        return true;
    case WECKD_SSE2:
#ifdef WECKD_BUILD_SSE2
        return true;
#else
        return false;
#endif
    case WECKD_AVX2:
#ifdef WECKD_BUILD_SSE2
        return __builtin_cpu_supports("avx2") != 0;
#else
        return false;
#endif
    case WECKD_NEON:
#ifdef WECKD_BUILD_NEON
        return true;
#else
        return false;
#endif
    }
    return false;
}

const char *weckd_instructions_name(weckd_instructions instructions) {
    switch (instructions) {
    case WECKD_PLAIN:
        return "plain";
    case WECKD_SSE2:
        return "sse2";
    case WECKD_AVX2:
        return "avx2";
    case WECKD_NEON:
        return "neon";
    }
    return "unknown";
}

weckd_instructions weckd_best_instructions(void) {
    static const weckd_instructions FASTEST_FIRST[] = {WECKD_AVX2, WECKD_SSE2, WECKD_NEON};
    for (size_t i = 0; i < sizeof FASTEST_FIRST / sizeof *FASTEST_FIRST; i++) {
        if (weckd_has_instructions(FASTEST_FIRST[i])) {
            return FASTEST_FIRST[i];
        }
    }
    return WECKD_PLAIN;
}
