/* Reads a frame of any geometry, over exactly the bytes that it describes: one that is accepted reads no byte beyond.
 * SPDX-License-Identifier: Apache-2.0 */
#include "image/frame.h"
#include "runtime/memory.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BYTES (1u << 20)
#define MAX_SIDE 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void resize(const weckd_region *region, uint32_t width, uint32_t height) {
    weckd_sizes sizes = {.frame_width = width, .frame_height = height, .classes = 1, .max_source_width = region->width,
                         .max_source_height = region->height};
    weckd_layout layout = {0};
    if (!weckd_layout_of(&sizes, &layout)) {
        return;
    }
    /* Every table in memory of its own, so that a step beyond one of them is seen. */
    weckd_resize_buffers buffers;
    uint32_t source[2] = {region->width, region->height}, target[2] = {width, height};
    buffers.row = malloc((size_t)region->width * 3);
    buffers.half = malloc((size_t)region->height * width * 3);
    uint8_t *frame = malloc((size_t)width * height * 3);
    for (int axis = 0; axis < 2; axis++) {
        buffers.first[axis] = malloc(target[axis] * sizeof(int32_t));
        buffers.count[axis] = malloc(target[axis] * sizeof(int32_t));
        buffers.weights[axis] = malloc((size_t)target[axis] * weckd_resize_taps(source[axis], target[axis]) * sizeof(int32_t));
    }
    weckd_resize_cover(region, width, height, &buffers, frame);
    for (int axis = 0; axis < 2; axis++) {
        free(buffers.first[axis]);
        free(buffers.count[axis]);
        free(buffers.weights[axis]);
    }
    free(buffers.row);
    free(buffers.half);
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t number[14];
    char message[WECKD_MESSAGE_BYTES];
    if (size < sizeof number) {
        return 0;
    }
    memcpy(number, data, sizeof number);
    weckd_frame frame = {
        .width = number[0], .height = number[1], .stride_bytes = number[2], .chroma_stride_bytes = number[3],
        .format = (weckd_format)(number[4] % 5), .matrix = (weckd_matrix)(number[5] % 5), .roi_x = number[6],
        .roi_y = number[7], .roi_width = number[8], .roi_height = number[9], .fit = (weckd_fit)(number[10] % 3),
    };
    uint64_t row = frame.width * (uint64_t)(frame.format <= WECKD_BGR ? 3 : 1);
    uint64_t stride = frame.stride_bytes == 0 ? row : frame.stride_bytes;
    uint64_t chroma_stride = frame.chroma_stride_bytes == 0 ? stride : frame.chroma_stride_bytes;
    /* The last row needs no padding behind it; nor does the last of the chroma. */
    uint64_t luma = frame.height == 0 ? 0 : stride * (frame.height - 1) + row;
    uint64_t pairs = frame.format == WECKD_NV12 && frame.height >= 2 ? chroma_stride * (frame.height / 2 - 1) + frame.width : 0;
    if (frame.height > MAX_BYTES || luma > MAX_BYTES || pairs > MAX_BYTES) {
        luma = pairs = 0;
        frame.pixels = frame.chroma = (const uint8_t *)""; /* may be refused only, or is not read */
        weckd_region region;
        (void)weckd_frame_region(&frame, &region, (weckd_error){message});
        return 0;
    }
    uint8_t *pixels = malloc((size_t)luma + 1), *chroma = malloc((size_t)pairs + 1);
    if (pixels == NULL || chroma == NULL) {
        abort();
    }
    pixels = realloc(pixels, luma == 0 ? 1 : (size_t)luma);
    chroma = realloc(chroma, pairs == 0 ? 1 : (size_t)pairs);
    memset(pixels, 77, luma == 0 ? 1 : (size_t)luma);
    memset(chroma, 140, pairs == 0 ? 1 : (size_t)pairs);
    frame.pixels = pixels;
    frame.chroma = chroma;
    weckd_region region;
    if (weckd_frame_region(&frame, &region, (weckd_error){message}) == WECKD_OK) {
        uint8_t *rgb = malloc((size_t)region.width * 3);
        for (uint32_t y = 0; y < region.height; y++) {
            weckd_region_row(&region, y, rgb);
        }
        free(rgb);
        if (region.width <= MAX_SIDE && region.height <= MAX_SIDE) {
            resize(&region, 1 + number[11] % 64, 1 + number[12] % 64);
        }
    }
    free(pixels);
    free(chroma);
    return 0;
}
