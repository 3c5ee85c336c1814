/* Evidence of the frames of an examination, summed in whole numbers, and the decision that it gives.
 *
 * devices/runtime/exam_tally.py does the same word by word. Evidence is rounded to 65536ths once, so its sums are exact; what follows
 * are quotients, exponentials and one comparison of doubles in a fixed order. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_TALLY_H
#define WECKD_TALLY_H

#include "bundle/exam_rule.h"

#include <stddef.h>

/* A frame that the decision may rest on. */
typedef struct weckd_tally_frame {
    double rank;     /* sharpness or confidence */
    uint32_t weight; /* 0 to 255 */
    uint32_t row;    /* row of its evidence */
} weckd_tally_frame;

typedef struct weckd_tally {
    const weckd_exam_rule *rule;
    uint32_t classes;
    uint32_t counted;  /* frames that were added */
    bool is_complete;  /* the examination has seen enough: later frames change nothing */
    uint32_t kept;     /* frames in `best`; only of a rule with `top_k` */
    uint32_t free_row; /* row of evidence for the next frame */
    int64_t weight;
    int64_t *sums;     /* [classes] */
    double *parts;     /* [classes] */
    int32_t *evidence; /* [WECKD_EXAM_MAX_TOP_K + 1, classes], 65536ths, at most 0 */
    weckd_tally_frame best[WECKD_EXAM_MAX_TOP_K + 1]; /* the best first */
} weckd_tally;

/* What the frames say together. */
typedef struct weckd_tally_finding {
    int32_t best;       /* most probable label, the first of equals; -1: there is no evidence */
    double probability; /* of that label */
    bool is_decided;    /* there are frames enough, and the probability reaches the rule's threshold */
} weckd_tally_finding;

/* Return the bytes of the numbers of a tally, for this many classes. */
size_t weckd_tally_bytes(uint32_t classes);

/* Make a tally whose numbers lie in `memory`, aligned to 8 bytes; the rule stays the caller's. */
void weckd_tally_init(weckd_tally *tally, const weckd_exam_rule *rule, uint32_t classes, void *memory);

/* Forget all frames. */
void weckd_tally_clear(weckd_tally *tally);

/* Add a frame that counts; once the examination has seen enough, it changes nothing. */
void weckd_tally_add(weckd_tally *tally, const float *probabilities, double sharpness);

/* Give what the frames say so far; `probabilities` takes one number a class, zeros where there is no evidence, and may be NULL. */
weckd_tally_finding weckd_tally_find(const weckd_tally *tally, double *probabilities);

#endif
