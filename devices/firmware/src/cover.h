/* Scale a region to cover a frame, centre kept: to the bit what `weckd_edge.devices.frames.fit` does with Pillow's triangle
 * filter. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_COVER_H
#define WECKD_COVER_H

#include "frame.h"

/* Working memory, in the caller's block. */
typedef struct weckd_cover_space {
    uint8_t *row;        /* max_source_width * 3 */
    uint8_t *half;       /* max_source_height * frame_width * 3: rows after the horizontal pass */
    int32_t *first[2];   /* first pixel that counts for each new one: frame_width, frame_height */
    int32_t *count[2];   /* how many count */
    int32_t *weights[2]; /* their weights, 22-bit fixed point: taps for each new pixel */
} weckd_cover_space;

/* Weights that one new pixel may need, where `source` pixels become `target`. */
uint32_t weckd_cover_taps(uint32_t source, uint32_t target);

/* Fill `frame`, RGB, frame_height * frame_width * 3 bytes. */
void weckd_cover(const weckd_region *region, uint32_t frame_width, uint32_t frame_height, const weckd_cover_space *space,
                 uint8_t *frame);

#endif
