/* Resize pixels by area: each new pixel is the mean of the old ones that it covers, in whole numbers, bit-exact with
 * devices/images/area_resize.py, which has the definition. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_AREA_H
#define WECKD_AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WECKD_AREA_TOTAL 2048 /* sum of the weights of one new pixel; at most as many old pixels fall on each new one */

/* Instructions that the resize is written in; all give the same bytes. */
typedef enum weckd_area_code { WECKD_AREA_PLAIN, WECKD_AREA_SSE2, WECKD_AREA_AVX2, WECKD_AREA_NEON } weckd_area_code;

/* Weights of one axis, in the caller's memory. */
typedef struct weckd_area_axis {
    uint32_t source, target, taps;
    uint32_t *first;  /* target: first old pixel that each new one covers */
    int16_t *weights; /* target * taps: its weight and those of the pixels behind it; 0 where it covers fewer */
} weckd_area_axis;

/* Return how many weights each new pixel has where `source` pixels become `target`: an even number. */
uint32_t weckd_area_taps(uint32_t source, uint32_t target);

/* Return how many values of the working row a picture of `width` pixels needs. */
size_t weckd_area_row_values(uint32_t width);

/* Fill the weights of an axis, whose `first` and `weights` have room. False: a side is 0, or an old pixel would get no weight. */
bool weckd_area_plan(uint32_t source, uint32_t target, weckd_area_axis *axis);

/* Tell whether this build and this processor have the instructions. */
bool weckd_area_has(weckd_area_code code);

/* Return the fastest instructions that this processor has. */
weckd_area_code weckd_area_best(void);

/* Resize RGB pixels, rows `stride` bytes apart, to `out`, down->target * across->target * 3 bytes without padding. `row` holds
 * weckd_area_row_values(across->source) values. No byte outside the pictures is read or written. */
void weckd_area_resize(weckd_area_code code, const uint8_t *pixels, size_t stride, const weckd_area_axis *down,
                       const weckd_area_axis *across, uint16_t *row, uint8_t *out);

#endif
