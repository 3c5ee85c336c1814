/* Reads a frame of any geometry, over exactly the bytes that it describes: one that is accepted reads no byte beyond.
 * SPDX-License-Identifier: Apache-2.0 */
#include "image/front_end.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BYTES (1u << 20)
#define MAX_SIDE 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Make the network's pixels, and the crop of the contract's frame, in memory of exactly the bytes that are asked for. */
static void make_pixels(const weckd_region *region, const uint32_t number[4]) {
    weckd_front_end_spec spec = {.frame_width = 1 + number[0] % 64, .frame_height = 1 + number[1] % 64,
                                 .network_width = 1 + number[0] / 64 % 48, .network_height = 1 + number[1] / 64 % 48,
                                 .max_source_width = region->width, .max_source_height = region->height};
    spec.left = number[2] % spec.frame_width;
    spec.top = number[3] % spec.frame_height;
    spec.width = 1 + number[2] / 64 % (spec.frame_width - spec.left);
    spec.height = 1 + number[3] / 64 % (spec.frame_height - spec.top);
    size_t bytes = (weckd_front_end_bytes(&spec) + 63) / 64 * 64;
    void *memory = aligned_alloc(64, bytes);
    uint8_t *crop = malloc((size_t)spec.width * spec.height * 3);
    uint8_t *pixels = malloc((size_t)spec.network_width * spec.network_height * 3);
    weckd_guard_state *guard = calloc(1, sizeof *guard);
    if (bytes == 0 || memory == NULL || crop == NULL || pixels == NULL || guard == NULL) {
        abort();
    }
    bool is_guarded = spec.width >= 3 && spec.height >= 3;
    weckd_front_end *front_end = weckd_front_end_init(&spec, memory);
    weckd_guard_set_grid(guard, is_guarded ? spec.width : 3, is_guarded ? spec.height : 3);
    weckd_front_end_crop(front_end, region, crop);
    weckd_front_end_pixels(front_end, region, is_guarded ? guard : NULL, NULL, pixels);
    if (is_guarded) { /* the rows that the guard saw in passing are those of the crop */
        weckd_quality quality[2];
        double score[2];
        weckd_reason reason = weckd_guard_finish(guard, &quality[0], &score[0]);
        if (weckd_guard_check(guard, crop, (size_t)spec.width * 3, false, &quality[1], &score[1]) != reason ||
            memcmp(&quality[0], &quality[1], sizeof quality[0]) != 0) {
            abort();
        }
    }
    free(guard);
    free(pixels);
    free(crop);
    free(memory);
}

/* Resize by area with all instructions that are here: the same bytes, and every table in memory of its own. */
static void resize_by_area(const weckd_region *region, uint32_t side) {
    weckd_area_axis axes[2];
    uint32_t source[2] = {region->height, region->width};
    size_t bytes = (size_t)side * 3;
    for (int axis = 0; axis < 2; axis++) {
        axes[axis].spans = malloc(side * sizeof(weckd_area_span));
        axes[axis].weights = malloc((size_t)side * weckd_area_taps(source[axis], side) * sizeof(int16_t));
        if (!weckd_area_plan(source[axis], side, 0, side, &axes[axis])) {
            abort();
        }
    }
    size_t values = (size_t)region->width * 3;
    uint16_t *sums = calloc(values + WECKD_AREA_SLACK, sizeof(uint16_t));
    uint8_t *expected = malloc(bytes), *found = malloc(bytes);
    const uint8_t **rows = malloc(axes[0].taps * sizeof(const uint8_t *));
    for (uint32_t y = 0; y < side; y++) {
        weckd_area_span span = axes[0].spans[y];
        const int16_t *weights = axes[0].weights + (size_t)y * axes[0].taps;
        for (uint32_t k = 0; k < span.count; k++) {
            rows[k] = region->pixels + (span.first + k) * region->stride;
        }
        for (int code = WECKD_PLAIN; code <= WECKD_NEON; code++) {
            if (weckd_has_instructions((weckd_instructions)code)) {
                weckd_area_rows((weckd_instructions)code, rows, weights, span.count, values, sums);
                weckd_area_columns((weckd_instructions)code, sums, &axes[1], code == WECKD_PLAIN ? expected : found);
                if (code != WECKD_PLAIN && memcmp(found, expected, bytes) != 0) {
                    abort();
                }
            }
        }
    }
    for (int axis = 0; axis < 2; axis++) {
        free(axes[axis].spans);
        free(axes[axis].weights);
    }
    free(rows);
    free(sums);
    free(expected);
    free(found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t number[16];
    char message[WECKD_MESSAGE_BYTES];
    if (size < sizeof number) {
        return 0;
    }
    memcpy(number, data, sizeof number);
    weckd_frame frame = {
        .width = number[0], .height = number[1], .stride_bytes = number[2], .chroma_stride_bytes = number[3],
        .format = (weckd_format)(number[4] % 6), .matrix = (weckd_matrix)(number[5] % 5), .roi_x = number[6],
        .roi_y = number[7], .roi_width = number[8], .roi_height = number[9], .fit = (weckd_fit)(number[10] % 3),
    };
    uint64_t row = frame.width * (uint64_t)(frame.format <= WECKD_BGR ? 3 : frame.format == WECKD_YUYV ? 2 : 1);
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
            weckd_region_row(weckd_best_instructions(), &region, y, 0, region.width, rgb);
        }
        free(rgb);
        if (region.width <= MAX_SIDE && region.height <= MAX_SIDE) {
            make_pixels(&region, number + 11);
            if (region.format == WECKD_RGB || region.format == WECKD_BGR) {
                resize_by_area(&region, 1 + number[15] % 64);
            }
        }
    }
    free(pixels);
    free(chroma);
    return 0;
}
