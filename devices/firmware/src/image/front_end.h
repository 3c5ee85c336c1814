/* Make the contract's frame, or the network's pixels, of a caller's region, in one pass over its rows.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Rows are read in place where they are RGB or BGR, and converted one by one where they are not. Where the region has another
 * size than the contract's frame, its largest centred box of the frame's proportions is resized by area to the frame
 * (devices/images/frames.py has the definition), of which only the crop is made. Only a few rows are kept at a time. */
#ifndef WECKD_FRONT_END_H
#define WECKD_FRONT_END_H

#include "guard/guard.h"
#include "image/area.h"
#include "image/frame.h"

/* Sizes of a front end, pixels. */
typedef struct weckd_front_end_spec {
    uint32_t frame_width, frame_height;         /* the contract's frame */
    uint32_t left, top, width, height;          /* its crop: the part that is used */
    uint32_t network_width, network_height;     /* what the crop is resized to by area; 0: it is not resized */
    uint32_t max_source_width, max_source_height; /* largest region of another size than the frame's; 0: there is none */
} weckd_front_end_spec;

typedef struct weckd_front_end weckd_front_end;

/* Return the bytes that a front end needs, a pure function of the sizes. 0: they do not fit together, or are over their limits. */
size_t weckd_front_end_bytes(const weckd_front_end_spec *spec);

/* Make a front end in the caller's memory, aligned to 64 bytes, of the bytes that its sizes need. Nothing is allocated. */
weckd_front_end *weckd_front_end_init(const weckd_front_end_spec *spec, void *memory);

/* Tell whether a region has the frame's size. */
bool weckd_front_end_fits(const weckd_front_end *front_end, const weckd_region *region);

/* Tell whether a region has the frame's size or one that may be resized to it. */
bool weckd_front_end_takes(const weckd_front_end *front_end, const weckd_region *region);

/* Time that the guard takes while the front end reads the rows for both. */
typedef struct weckd_stopwatch {
    uint64_t (*now_ns)(void *context); /* NULL: no time is taken */
    void *context;
    uint64_t guard_ns; /* the guard's part of the pass, written by it */
} weckd_stopwatch;

/* Write the network's pixels, RGB: network_height * network_width * 3 bytes without padding. A guard whose grid lies over the crop
 * measures the rows that it needs while they are there, and only has to finish; it and `stopwatch` may be NULL. The region is one
 * that is taken, and shares no byte with `pixels`. */
void weckd_front_end_pixels(weckd_front_end *front_end, const weckd_region *region, weckd_guard_state *guard,
                            weckd_stopwatch *stopwatch, uint8_t *pixels);

/* Write the crop of the frame as RGB: height * width * 3 bytes without padding. The region is one that is taken, and shares no
 * byte with `crop`. */
void weckd_front_end_crop(weckd_front_end *front_end, const weckd_region *region, uint8_t *crop);

#endif
