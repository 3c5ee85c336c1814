/* How the frames of an examination become one decision: the manifest's `exam`. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_EXAM_RULE_H
#define WECKD_EXAM_RULE_H

#include <stdbool.h>
#include <stdint.h>

#define WECKD_EXAM_ONE 65536               /* one unit of evidence */
#define WECKD_EXAM_LARGEST (16 * 65536)    /* most that one frame says against a label */
#define WECKD_EXAM_MAX_TOP_K 32
#define WECKD_EXAM_MAX_FRAMES 65535
#define WECKD_EXAM_MAX_WEIGHT 255
#define WECKD_EXAM_MAX_EDGES 7
#define WECKD_EXAM_MAX_SCALE 1000.0
#define WECKD_EXAM_MAX_DISTANCE 1e30
#define WECKD_EXAM_MAX_LEAD ((int64_t)WECKD_EXAM_MAX_FRAMES * WECKD_EXAM_MAX_WEIGHT * WECKD_EXAM_LARGEST)

/* Rising limits; a number is in the bin above those that it reaches. */
typedef struct weckd_exam_edges {
    double at[WECKD_EXAM_MAX_EDGES];
    uint32_t count;
} weckd_exam_edges;

typedef struct weckd_exam_rule {
    bool votes;               /* a frame votes for its most probable label; otherwise it says the logarithm of each probability */
    bool ranks_by_confidence; /* of two frames the one with the larger probability is better; otherwise the sharper one is */
    bool has_distance, has_lead;
    uint32_t top_k;           /* frames that the decision rests on; 0: all */
    uint32_t min_frames, max_frames;
    weckd_exam_edges sharpness, confidence;
    uint8_t weights[WECKD_EXAM_MAX_EDGES + 1][WECKD_EXAM_MAX_EDGES + 1]; /* by sharpness, then by confidence */
    uint8_t heaviest;         /* largest weight */
    double scale;
    double duplicate_distance; /* where has_distance */
    int64_t stop_lead;         /* where has_lead */
    double confidence_threshold;
} weckd_exam_rule;

#endif
