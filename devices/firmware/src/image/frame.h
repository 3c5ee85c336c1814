/* Check the geometry of a caller's frame, and read its pixels as RGB rows. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_FRAME_H
#define WECKD_FRAME_H

#include "core/errors.h"
#include "core/instructions.h"

/* The region of a frame that was checked: every address below is inside the memory that the caller described. */
typedef struct weckd_region {
    const uint8_t *pixels; /* the region's first pixel */
    const uint8_t *chroma; /* NV12: its first chroma pair */
    size_t stride, chroma_stride;
    uint32_t width, height;
    weckd_format format;
    weckd_matrix matrix;
} weckd_region;

/* Check a frame's geometry and find its region. */
int weckd_frame_region(const weckd_frame *frame, weckd_region *region, weckd_error error);

/* Copy RGB as BGR, or BGR as RGB; both places may be the same. */
void weckd_exchange_red_and_blue(const uint8_t *from, size_t pixels, uint8_t *to);

/* Return the bytes of one row of a region, padding not counted; for NV12, of its luma. */
size_t weckd_region_row_bytes(const weckd_region *region);

/* Write `width` pixels of row `y` of a region, from pixel `left` on, as RGB: width * 3 bytes. */
void weckd_region_row(weckd_instructions instructions, const weckd_region *region, uint32_t y, uint32_t left, uint32_t width,
                      uint8_t *rgb);

#endif
