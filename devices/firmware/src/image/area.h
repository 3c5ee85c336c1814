/* Resize pixels by area: each new pixel is the mean of the old ones that it covers, in whole numbers, bit-exact with
 * devices/images/area_resize.py, which has the definition. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_AREA_H
#define WECKD_AREA_H

#include "core/instructions.h"

#include <stddef.h>
#include <stdint.h>

#define WECKD_AREA_TOTAL 128 /* sum of the weights of one new pixel along one axis */
#define WECKD_AREA_SLACK 16  /* values behind a row of sums that vectors read and weigh with 0 */

/* The old pixels of one new one: neither the first nor the last of them weighs 0. */
typedef struct weckd_area_span {
    uint32_t first, count;
} weckd_area_span;

/* Weights of one axis, or of a part of its new pixels, in the caller's memory. */
typedef struct weckd_area_axis {
    uint32_t length, taps;  /* new pixels, and weights of each: an even number */
    uint32_t pairs;         /* pairs of weights of the pixel that has most but zeros */
    weckd_area_span *spans; /* length */
    int16_t *weights;       /* length * taps: those of the pixels of the span, then zeros */
} weckd_area_axis;

/* Return how many weights each new pixel has where `source` pixels become `target`: an even number. */
uint32_t weckd_area_taps(uint32_t source, uint32_t target);

/* Plan new pixels `from` to `from + length` of `source` that become `target`. `spans` and `weights` of the axis have room.
 * False: a side is 0, or there are no such pixels. */
bool weckd_area_plan(uint32_t source, uint32_t target, uint32_t from, uint32_t length, weckd_area_axis *axis);

/* Weigh `count` rows of `values` values: `sums[x]` is the sum of weights[k] * rows[k][x], at most 32,640. `weights` are those of
 * an axis: where `count` is odd, one more may be read. */
void weckd_area_rows(weckd_instructions instructions, const uint8_t *const *rows, const int16_t *weights, uint32_t count, size_t values,
                     uint16_t *sums);

/* Weigh the columns of a row of sums, RGB, and round them: `out` gets across->length * 3 bytes. WECKD_AREA_SLACK values behind
 * the row may be read. */
void weckd_area_columns(weckd_instructions instructions, const uint16_t *sums, const weckd_area_axis *across, uint8_t *out);

#endif
