/* Sums of whole numbers over the guard's grid: everything that its features are made of. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_SUMS_H
#define WECKD_SUMS_H

#include "guard/points.h"

#define WECKD_GUARD_LAGS 5  /* distances of 1, 2, 4, ... points */
#define WECKD_GUARD_BINS 8  /* bins of the histogram of luminance */
#define WECKD_GUARD_CELLS 4 /* cells of the layout, a side */
#define WECKD_GUARD_COUNT (WECKD_GUARD_GRID * WECKD_GUARD_GRID)

/* None of them reaches 2^31: the largest, of the squared Laplacians of a quarter, stays under 2^30. */
typedef struct weckd_sums {
    int32_t colour[3], colour2[3]; /* of the values, and of their squares */
    int32_t difference2[2];        /* squares of red less green, and of green less blue */
    int32_t laplacian, across2, along2;
    int32_t luminance2;
    int32_t right2[WECKD_GUARD_LAGS], down2[WECKD_GUARD_LAGS]; /* squares of differences to the point 1, 2, 4, ... on */
    int32_t bins[WECKD_GUARD_BINS], dark, bright;              /* points */
    int32_t cells[WECKD_GUARD_CELLS][WECKD_GUARD_CELLS];       /* luminance */
    int32_t roughness[2][2];                                   /* squared Laplacians of the quarters */
} weckd_sums;

/* The sums of a frame whose rows come one by one, the rows that wait to be added, and the luminance of all points. */
typedef struct weckd_grid_sums {
    weckd_sums sums;
    weckd_points points;
    int16_t light[WECKD_GUARD_COUNT + (1 << (WECKD_GUARD_LAGS - 1))]; /* rows first; what lies behind counts nowhere */
} weckd_grid_sums;

/* Add `points`, which are the rows from `first` on; row 0 begins a frame. */
void weckd_add_points(weckd_instructions instructions, weckd_grid_sums *grid, uint32_t first);

/* Make the sums that need all rows. */
void weckd_add_grid(weckd_instructions instructions, weckd_grid_sums *grid);

#endif
