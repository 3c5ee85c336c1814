/* Rows of the guard's grid: colours and luminance of their points, and luminance of the pixels beside them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_POINTS_H
#define WECKD_POINTS_H

#include "core/instructions.h"

#include <stddef.h>
#include <stdint.h>

#define WECKD_GUARD_GRID 64 /* points a side */
#define WECKD_POINT_ROWS 8  /* rows of points that are added together */

typedef int16_t weckd_point_rows[WECKD_POINT_ROWS][WECKD_GUARD_GRID];

/* Numbers of some rows of points, 0 to 255 each. */
typedef struct weckd_points {
    weckd_point_rows colour[3]; /* red, green, blue */
    weckd_point_rows light;     /* luminance: Rec. 601's weights in 256ths, rounded to nearest */
    weckd_point_rows above, below, before, after; /* luminance of the pixels beside the point */
} weckd_points;

/* Three rows of pixels, one above the other, 3 bytes a pixel. */
typedef struct weckd_three_rows {
    const uint8_t *above, *at, *below;
    bool is_bgr; /* blue comes first */
} weckd_three_rows;

/* Read row `to` of the points. `columns` are the places of the points in the rows, each with a pixel on either side. */
void weckd_read_points(weckd_instructions instructions, const weckd_three_rows *rows, const uint32_t columns[WECKD_GUARD_GRID],
                       uint32_t to, weckd_points *points);

#endif
