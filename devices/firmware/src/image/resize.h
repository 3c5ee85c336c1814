/* Scale a region to cover a frame, about its centre: bit-exact with Python's frames, which Pillow's triangle filter makes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_RESIZE_H
#define WECKD_RESIZE_H

#include "image/frame.h"

/* Working memory of the resize, in the caller's block. */
typedef struct weckd_resize_buffers {
    uint8_t *row;        /* max_source_width * 3 */
    uint8_t *half;       /* max_source_height * frame_width * 3: rows after the horizontal pass */
    int32_t *first[2];   /* first pixel that counts for each new one: frame_width, frame_height */
    int32_t *count[2];   /* how many pixels count for each new one */
    int32_t *weights[2]; /* their weights, 22-bit fixed point: taps for each new pixel */
} weckd_resize_buffers;

/* Return how many weights one new pixel may need where `source` pixels become `target`. */
uint32_t weckd_resize_taps(uint32_t source, uint32_t target);

/* Fill `frame`, RGB, frame_height * frame_width * 3 bytes, from the part of the region that covers it. */
void weckd_resize_cover(const weckd_region *region, uint32_t frame_width, uint32_t frame_height,
                        const weckd_resize_buffers *space, uint8_t *frame);

#endif
