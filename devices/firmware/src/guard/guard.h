/* The input guard: it rejects frames that the network must not see. SPDX-License-Identifier: Apache-2.0
 *
 * Everything is counted in whole numbers on a grid of points of the contract's crop; the doubles made of them are added in a
 * fixed order, so that devices/runtime/input_guard.py of the same version gives bit-exact numbers, whatever the
 * instructions. Contracted multiply-adds would change them: this file's compiler flags forbid them. */
#ifndef WECKD_GUARD_H
#define WECKD_GUARD_H

#include "guard/sums.h"
#include "weckd_edge.h"

#define WECKD_GUARD_FEATURES (11 + 2 * WECKD_GUARD_LAGS + WECKD_GUARD_BINS + WECKD_GUARD_CELLS * WECKD_GUARD_CELLS + 4)
#define WECKD_GUARD_WHITE ((WECKD_GUARD_FEATURES + 3) / 4 * 4) /* features, made full for vectors */

/* A limit, or none. */
typedef struct weckd_limit {
    double value;
    bool is_set;
} weckd_limit;

/* Limits and statistics, as the guard's file has them. */
typedef struct weckd_guard {
    weckd_limit min_sharpness, min_contrast, max_dark, max_bright, max_ood_score;
    double mean[WECKD_GUARD_FEATURES];
    double whitening[WECKD_GUARD_FEATURES][WECKD_GUARD_WHITE]; /* column by column; zeros above the diagonal and behind the last row */
} weckd_guard;

/* A guard with its grid laid over crops of a size, and the sums of the last frame. */
typedef struct weckd_guard_state {
    weckd_guard guard;
    weckd_instructions instructions;
    uint32_t rows[WECKD_GUARD_GRID], columns[WECKD_GUARD_GRID]; /* from the crop's first pixel; a pixel lies on every side */
    weckd_grid_sums grid;
    double white[WECKD_GUARD_WHITE]; /* whitened features of the last frame, zeros behind: the score is their squared length */
} weckd_guard_state;

/* Lay the grid over crops of `width` x `height` pixels, at least 3 each, to be measured by the fastest instructions. */
void weckd_guard_set_grid(weckd_guard_state *state, uint32_t width, uint32_t height);

/* Measure row `i` of the grid: rows rows[i] - 1, rows[i] and rows[i] + 1 of the crop, from its first pixel on, RGB or BGR. All 64
 * come in their order; row 0 begins a frame. */
void weckd_guard_row(weckd_guard_state *state, uint32_t i, const uint8_t *above, const uint8_t *at, const uint8_t *below,
                     bool is_bgr);

/* Decide on the frame whose rows were measured. WECKD_REASON_NONE: it is accepted. */
weckd_reason weckd_guard_finish(weckd_guard_state *state, weckd_quality *quality, double *ood_score);

/* Give the features of the last frame that was decided on. */
void weckd_guard_features(const weckd_guard_state *state, double feature[WECKD_GUARD_FEATURES]);

/* Check one frame, RGB or BGR, whose crop begins at `crop`, rows `stride` bytes apart. */
weckd_reason weckd_guard_check(weckd_guard_state *state, const uint8_t *crop, size_t stride, bool is_bgr, weckd_quality *quality,
                               double *ood_score);

#endif
