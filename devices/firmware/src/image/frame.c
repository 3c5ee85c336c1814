/* SPDX-License-Identifier: Apache-2.0 */
#include "image/frame.h"

#include <stdbool.h>
#include <string.h>

static size_t pixel_bytes(weckd_format format) { return format == WECKD_RGB || format == WECKD_BGR ? 3 : 1; }

static int bad(weckd_error error, const char *what, uint64_t expected, uint64_t got) {
    return weckd_fail(error, WECKD_ERR_GEOMETRY, "frame: %s (expected %llu, got %llu)", what, (unsigned long long)expected,
                      (unsigned long long)got);
}

static bool is_odd(const weckd_frame *frame) {
    return ((frame->width | frame->height | frame->roi_x | frame->roi_y | frame->roi_width | frame->roi_height) & 1u) != 0;
}

int weckd_frame_region(const weckd_frame *frame, weckd_region *region, weckd_error error) {
    uint32_t set = frame->reserved[0] | frame->reserved[1] | frame->reserved[2] | (frame->flags & ~WECKD_IGNORE_GUARD);
    if (frame->pixels == NULL || (unsigned)frame->format > WECKD_NV12 || (unsigned)frame->matrix > WECKD_BT709_FULL ||
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
    if (planes && is_odd(frame)) {
        return weckd_fail(error, WECKD_ERR_GEOMETRY, "frame: an NV12 frame and its region lie on even pixels");
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

/* Factors of each matrix, times 65536: luma's gain and offset, then Cr into red, Cb and Cr into green, Cb into blue. */
static const int32_t MATRICES[4][6] = {
    [WECKD_BT601_LIMITED] = {76309, 16, 104597, -25675, -53279, 132201},
    [WECKD_BT601_FULL] = {65536, 0, 91881, -22553, -46802, 116130},
    [WECKD_BT709_LIMITED] = {76309, 16, 117489, -13975, -34925, 138438},
    [WECKD_BT709_FULL] = {65536, 0, 103206, -12276, -30679, 121609},
};

static uint8_t clip(int32_t value) { return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value); }

static uint8_t rounded(int32_t sum) { return clip((sum + 32768) >> 16); }

static void nv12_row(const weckd_region *region, uint32_t y, uint32_t left, uint32_t width, uint8_t *rgb) {
    const int32_t *m = MATRICES[region->matrix];
    const uint8_t *luma = region->pixels + region->stride * y + left;
    const uint8_t *pairs = region->chroma + region->chroma_stride * (y / 2);
    for (uint32_t x = 0; x < width; x++) {
        int32_t light = m[0] * (luma[x] - m[1]);
        int32_t blue = pairs[(left + x) & ~1u] - 128, red = pairs[(left + x) | 1u] - 128;
        rgb[3 * x] = rounded(light + m[2] * red);
        rgb[3 * x + 1] = rounded(light + m[3] * blue + m[4] * red);
        rgb[3 * x + 2] = rounded(light + m[5] * blue);
    }
}

size_t weckd_region_row_bytes(const weckd_region *region) { return region->width * pixel_bytes(region->format); }

void weckd_region_row(const weckd_region *region, uint32_t y, uint32_t left, uint32_t width, uint8_t *rgb) {
    const uint8_t *row = region->pixels + region->stride * y + (size_t)left * pixel_bytes(region->format);
    switch (region->format) {
    case WECKD_RGB:
        memcpy(rgb, row, (size_t)width * 3);
        break;
    case WECKD_BGR:
        for (size_t x = 0; x < width; x++) {
            rgb[3 * x] = row[3 * x + 2];
            rgb[3 * x + 1] = row[3 * x + 1];
            rgb[3 * x + 2] = row[3 * x];
        }
        break;
    case WECKD_GREY:
        for (size_t x = 0; x < width; x++) {
            rgb[3 * x] = rgb[3 * x + 1] = rgb[3 * x + 2] = row[x];
        }
        break;
    case WECKD_NV12:
        nv12_row(region, y, left, width, rgb);
        break;
    }
}
