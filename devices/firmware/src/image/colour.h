/* Make RGB of grey and of YCbCr, bit-exact whatever the instructions. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_COLOUR_H
#define WECKD_COLOUR_H

#include "core/instructions.h"
#include "weckd_edge.h"

/* One row of YCbCr whose pixels share their chroma in pairs: pixel x has luma[x * step], and the pair that it belongs to begins at
 * the even pixel e: Cb is chroma[e * step] and Cr is chroma[(e + 1) * step]. */
typedef struct weckd_chroma_row {
    const uint8_t *luma, *chroma;
    size_t step; /* 1: planes of luma and of pairs (NV12); 2: luma and chroma by turns (YUYV) */
} weckd_chroma_row;

/* Write `width` pixels from pixel `left` on as RGB, width * 3 bytes. */
void weckd_colour_row(weckd_instructions instructions, weckd_matrix matrix, const weckd_chroma_row *row, uint32_t left,
                      uint32_t width, uint8_t *rgb);

/* Write `width` grey pixels as RGB, width * 3 bytes. */
void weckd_grey_row(weckd_instructions instructions, const uint8_t *grey, uint32_t width, uint8_t *rgb);

#endif
