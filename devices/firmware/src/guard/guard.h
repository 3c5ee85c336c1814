/* The input guard: it rejects frames that the network must not see. SPDX-License-Identifier: Apache-2.0
 *
 * Everything is counted in whole numbers on a grid of points of the contract's crop; the doubles made of them are added in a
 * fixed order, so that devices/runtime/input_guard.py of the same version gives bit-exact numbers. Contracted multiply-adds
 * would change them: this file's compiler flags forbid them. */
#ifndef WECKD_GUARD_H
#define WECKD_GUARD_H

#include "bundle/manifest.h"

#define WECKD_GUARD_GRID 64     /* points a side */
#define WECKD_GUARD_LAGS 5      /* distances of 1, 2, 4, ... points */
#define WECKD_GUARD_BINS 8      /* bins of the histogram of luminance */
#define WECKD_GUARD_CELLS 4     /* cells of the layout, a side */
#define WECKD_GUARD_FEATURES (11 + 2 * WECKD_GUARD_LAGS + WECKD_GUARD_BINS + WECKD_GUARD_CELLS * WECKD_GUARD_CELLS + 4)
#define WECKD_GUARD_MAX_BYTES (1u << 20) /* bytes of the guard's file */

/* A limit, or none. */
typedef struct weckd_limit {
    double value;
    bool is_set;
} weckd_limit;

/* Limits and statistics, as the guard's file has them. */
typedef struct weckd_guard {
    weckd_limit min_sharpness, min_contrast, max_dark, max_bright, max_ood_score;
    double mean[WECKD_GUARD_FEATURES];
    double whitening[WECKD_GUARD_FEATURES][WECKD_GUARD_FEATURES]; /* lower triangle */
} weckd_guard;

/* A guard with its grid laid over frames; `luminance` holds the grid's points of the last frame. */
typedef struct weckd_guard_state {
    weckd_guard guard;
    uint32_t rows[WECKD_GUARD_GRID], columns[WECKD_GUARD_GRID];
    uint32_t frame_width;
    uint8_t luminance[WECKD_GUARD_GRID][WECKD_GUARD_GRID];
} weckd_guard_state;

/* Parse the bytes of the guard's file. */
int weckd_guard_parse(const char *text, size_t bytes, weckd_guard *guard, weckd_error error);

/* Read and check the file that a manifest names, below an open folder; `*guard` may be NULL. Nothing is done where the
 * manifest has none. */
int weckd_guard_read(int folder_fd, const weckd_manifest *manifest, weckd_guard *guard, weckd_error error);

/* Lay the grid over frames of a contract; the crop was checked by weckd_guard_read. */
void weckd_guard_set_grid(weckd_guard_state *state, const weckd_manifest *manifest);

/* Check one RGB frame, rows without padding. WECKD_REASON_NONE: it is accepted. */
weckd_reason weckd_guard_check(weckd_guard_state *state, const uint8_t *frame, weckd_quality *quality, double *ood_score);

#endif
