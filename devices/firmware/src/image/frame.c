/* SPDX-License-Identifier: Apache-2.0 */
#include "image/frame.h"

#include "image/colour.h"

#include <stdbool.h>
#include <string.h>

static size_t pixel_bytes(weckd_format format) {
    return format == WECKD_RGB || format == WECKD_BGR ? 3 : format == WECKD_YUYV ? 2 : 1;
}

static int bad(weckd_error error, const char *what, uint64_t expected, uint64_t got) {
    return weckd_fail(error, WECKD_ERR_GEOMETRY, "frame: %s (expected %llu, got %llu)", what, (unsigned long long)expected,
                      (unsigned long long)got);
}

/* Tell whether a frame or its region cuts through pixels that share their chroma: 2 x 2 of NV12, 2 beside each other of YUYV. */
static bool cuts_chroma(const weckd_frame *frame) {
    bool across = ((frame->width | frame->roi_x | frame->roi_width) & 1u) != 0;
    bool down = ((frame->height | frame->roi_y | frame->roi_height) & 1u) != 0;
    return (frame->format == WECKD_NV12 && (across || down)) || (frame->format == WECKD_YUYV && across);
}

int weckd_frame_region(const weckd_frame *frame, weckd_region *region, weckd_error error) {
    uint32_t set = frame->reserved[0] | frame->reserved[1] | frame->reserved[2] | (frame->flags & ~WECKD_IGNORE_GUARD);
    if (frame->pixels == NULL || (unsigned)frame->format > WECKD_YUYV || (unsigned)frame->matrix > WECKD_BT709_FULL ||
        (unsigned)frame->fit > WECKD_FIT_COVER || set != 0) {
        return weckd_fail(error, WECKD_ERR_ARGUMENT, "frame: no pixels, an unknown format, matrix, fit or flag, or reserved is not 0");
    }
    bool planes = frame->format == WECKD_NV12;
    uint64_t row = frame->width * (uint64_t)pixel_bytes(frame->format);
    uint64_t stride = frame->stride_bytes == 0 ? row : frame->stride_bytes;
    uint64_t chroma_stride = frame->chroma_stride_bytes == 0 ? stride : frame->chroma_stride_bytes;
    uint32_t width = frame->roi_width, height = frame->roi_height;
    if (frame->width == 0 || frame->height == 0 || frame->width > WECKD_MAX_SIDE || frame->height > WECKD_MAX_SIDE) {
        return weckd_fail(error, WECKD_ERR_GEOMETRY, "frame: %u x %u pixels; a side has 1 to %d", frame->width, frame->height,
                          WECKD_MAX_SIDE);
    }
    if (stride < row) {
        return bad(error, "the stride is shorter than a row, bytes", row, stride);
    }
    if (planes && chroma_stride < row) {
        return bad(error, "the chroma stride is shorter than a row, bytes", row, chroma_stride);
    }
    if (cuts_chroma(frame)) {
        return weckd_fail(error, WECKD_ERR_GEOMETRY, "frame: sides and corners of an NV12 frame and of its region are even, of YUYV its "
                          "widths and left sides");
    }
    if ((width == 0) != (height == 0)) {
        return weckd_fail(error, WECKD_ERR_GEOMETRY, "frame: a region of %u x %u pixels", width, height);
    }
    if (width == 0) {
        if (frame->roi_x != 0 || frame->roi_y != 0) {
            return weckd_fail(error, WECKD_ERR_GEOMETRY, "frame: a region's corner without its size");
        }
        width = frame->width;
        height = frame->height;
    }
    if ((uint64_t)frame->roi_x + width > frame->width) {
        return bad(error, "the region leaves the frame on the right, pixels", frame->width, (uint64_t)frame->roi_x + width);
    }
    if ((uint64_t)frame->roi_y + height > frame->height) {
        return bad(error, "the region leaves the frame at the bottom, pixels", frame->height, (uint64_t)frame->roi_y + height);
    }
    const uint8_t *chroma = frame->chroma != NULL ? frame->chroma : frame->pixels + stride * frame->height;
    *region = (weckd_region){
        .pixels = frame->pixels + stride * frame->roi_y + frame->roi_x * pixel_bytes(frame->format),
        .chroma = planes ? chroma + chroma_stride * (frame->roi_y / 2) + frame->roi_x : NULL,
        .stride = (size_t)stride,
        .chroma_stride = (size_t)chroma_stride,
        .width = width,
        .height = height,
        .format = frame->format,
        .matrix = frame->matrix,
    };
    return WECKD_OK;
}

size_t weckd_region_row_bytes(const weckd_region *region) { return region->width * pixel_bytes(region->format); }

void weckd_exchange_red_and_blue(const uint8_t *from, size_t pixels, uint8_t *to) {
    for (size_t x = 0; x < pixels * 3; x += 3) {
        uint8_t first = from[x];
        to[x] = from[x + 2];
        to[x + 1] = from[x + 1];
        to[x + 2] = first;
    }
}

void weckd_region_row(weckd_instructions instructions, const weckd_region *region, uint32_t y, uint32_t left, uint32_t width,
                      uint8_t *rgb) {
    const uint8_t *row = region->pixels + region->stride * y, *first = row + (size_t)left * pixel_bytes(region->format);
    weckd_chroma_row luma_and_chroma = {row, row + 1, 2};
    switch (region->format) {
    case WECKD_RGB:
        memcpy(rgb, first, (size_t)width * 3);
        break;
    case WECKD_BGR:
        weckd_exchange_red_and_blue(first, width, rgb);
        break;
    case WECKD_GREY:
        weckd_grey_row(instructions, first, width, rgb);
        break;
    case WECKD_NV12:
        luma_and_chroma = (weckd_chroma_row){row, region->chroma + region->chroma_stride * (y / 2), 1};
        weckd_colour_row(instructions, region->matrix, &luma_and_chroma, left, width, rgb);
        break;
    case WECKD_YUYV:
        weckd_colour_row(instructions, region->matrix, &luma_and_chroma, left, width, rgb);
        break;
    }
}
