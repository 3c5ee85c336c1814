/* The examination of an open bundle. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_EXAM_STATE_H
#define WECKD_EXAM_STATE_H

#include "exam/tally.h"
#include "guard/guard.h"

/* It lies in the bundle's block; the numbers of the tally follow it. */
typedef struct weckd_exam {
    weckd_exam_rule rule;
    weckd_tally tally;
    bool is_running;
    bool has_last;
    double last[WECKD_GUARD_FEATURES]; /* whitened features of the last frame that counts */
    uint64_t repeated;
    uint64_t refused[WECKD_REASONS];   /* by weckd_reason */
} weckd_exam;

/* Return the bytes of an examination with its numbers, for this many classes. */
size_t weckd_exam_bytes(uint32_t classes);

/* Make an examination that was not begun, in memory aligned to 8 bytes. */
weckd_exam *weckd_exam_init(void *memory, const weckd_exam_rule *rule, uint32_t classes);

#endif
