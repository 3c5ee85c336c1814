/* The frame guard: which frames are not given to the network. SPDX-License-Identifier: Apache-2.0
 *
 * Everything is counted in whole numbers on a grid of points of the contract's crop; the doubles made of them are added in a
 * fixed order, so that devices/guard.py of the same make gives the same numbers to the bit. Contracted multiply-adds would
 * change them: this file's compiler flags forbid them. */
#ifndef WECKD_GUARD_H
#define WECKD_GUARD_H

#include "manifest.h"

#define WECKD_GUARD_GRID 64     /* points a side */
#define WECKD_GUARD_LAGS 5
#define WECKD_GUARD_BINS 8
#define WECKD_GUARD_CELLS 4     /* of the layout, a side */
#define WECKD_GUARD_FEATURES (11 + 2 * WECKD_GUARD_LAGS + WECKD_GUARD_BINS + WECKD_GUARD_CELLS * WECKD_GUARD_CELLS + 4)
#define WECKD_GUARD_MOST_BYTES (1u << 20) /* of its file */

/* A bar, or none. */
typedef struct weckd_bar {
    double value;
    bool is_set;
} weckd_bar;

/* What the guard's file says. */
typedef struct weckd_guard {
    weckd_bar least_sharpness, least_contrast, most_dark, most_bright, most_unfamiliar;
    double mean[WECKD_GUARD_FEATURES];
    double whitening[WECKD_GUARD_FEATURES][WECKD_GUARD_FEATURES]; /* lower triangle */
} weckd_guard;

/* A guard with its place in a frame; `light` is room for one frame's luminance. */
typedef struct weckd_guard_space {
    weckd_guard guard;
    uint32_t rows[WECKD_GUARD_GRID], columns[WECKD_GUARD_GRID];
    uint32_t frame_width;
    uint8_t light[WECKD_GUARD_GRID][WECKD_GUARD_GRID];
} weckd_guard_space;

/* Parse the bytes of the file. */
int weckd_guard_parse(const char *text, size_t bytes, weckd_guard *guard, weckd_why why);

/* Read and check the file that a manifest names, below an open folder; `*guard` may be NULL. Nothing is done where the
 * manifest names none. */
int weckd_guard_read(int folder_fd, const weckd_manifest *manifest, weckd_guard *guard, weckd_why why);

/* Lay the grid over frames of a contract; the crop was checked by weckd_guard_read. */
void weckd_guard_place(weckd_guard_space *space, const weckd_manifest *manifest);

/* Look at one RGB frame, rows without padding. WECKD_REASON_NONE: it may be answered. */
weckd_reason weckd_guard_look(weckd_guard_space *space, const uint8_t *frame, weckd_quality *quality, double *unfamiliarity);

#endif
