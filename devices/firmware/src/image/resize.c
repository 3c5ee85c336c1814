/* SPDX-License-Identifier: Apache-2.0 */
#include "image/resize.h"

#include <math.h>

#define BITS 22 /* bits of a weight: 32, less 8 of a pixel, less 2 for sums that overshoot */

uint32_t weckd_resize_taps(uint32_t source, uint32_t target) {
    return source <= target ? 3 : 2 * ((source + target - 1) / target) + 1;
}

/* Compute the weights of one axis. The sums keep the order and the types of the reference, or the last bit would differ. */
static void compute_weights(uint32_t source, float from, float to, uint32_t target, int32_t *first, int32_t *count,
                            int32_t *weights, uint32_t taps) {
    double scale = (double)(to - from) / target;
    double support = scale < 1.0 ? 1.0 : scale;
    double inverse = 1.0 / support;
    for (uint32_t i = 0; i < target; i++) {
        double centre = from + (i + 0.5) * scale;
        int32_t low = (int32_t)(centre - support + 0.5), high = (int32_t)(centre + support + 0.5);
        low = low < 0 ? 0 : low;
        high = high > (int32_t)source ? (int32_t)source : high;
        int32_t *w = weights + (size_t)i * taps;
        double sum = 0.0;
        for (int32_t x = 0; x < high - low; x++) {
            double distance = fabs((x + low - centre + 0.5) * inverse);
            sum += distance < 1.0 ? 1.0 - distance : 0.0;
        }
        for (int32_t x = 0; x < high - low; x++) {
            double distance = fabs((x + low - centre + 0.5) * inverse);
            double weight = distance < 1.0 ? 1.0 - distance : 0.0;
            w[x] = (int32_t)(0.5 + (sum != 0.0 ? weight / sum : weight) * (1 << BITS));
        }
        first[i] = low;
        count[i] = high - low;
    }
}

static uint8_t clip(int32_t sum) {
    int32_t value = sum >> BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Resize the row in `space->row` to `width` pixels. */
static void resize_row(const weckd_resize_buffers *space, uint32_t width, uint32_t taps, uint8_t *out) {
    for (uint32_t x = 0; x < width; x++) {
        const int32_t *w = space->weights[0] + (size_t)x * taps;
        const uint8_t *in = space->row + (size_t)space->first[0][x] * 3;
        int32_t sum[3] = {1 << (BITS - 1), 1 << (BITS - 1), 1 << (BITS - 1)};
        for (int32_t k = 0; k < space->count[0][x]; k++) {
            for (int c = 0; c < 3; c++) {
                sum[c] += in[3 * k + c] * w[k];
            }
        }
        for (uint32_t c = 0; c < 3; c++) {
            out[3 * x + c] = clip(sum[c]);
        }
    }
}

void weckd_resize_cover(const weckd_region *region, uint32_t frame_width, uint32_t frame_height,
                        const weckd_resize_buffers *space, uint8_t *frame) {
    double rows = region->height, columns = region->width;
    double scale = fmax(frame_height / rows, frame_width / columns);
    double wide = frame_width / scale, high = frame_height / scale;
    double left = (columns - wide) / 2, top = (rows - high) / 2;
    uint32_t taps[2] = {weckd_resize_taps(region->width, frame_width), weckd_resize_taps(region->height, frame_height)};
    compute_weights(region->width, (float)fmax(0.0, left), (float)fmin(columns, left + wide), frame_width, space->first[0],
                    space->count[0], space->weights[0], taps[0]);
    compute_weights(region->height, (float)fmax(0.0, top), (float)fmin(rows, top + high), frame_height, space->first[1],
                    space->count[1], space->weights[1], taps[1]);
    size_t row_bytes = (size_t)frame_width * 3;
    int32_t used = space->first[1][0], end = space->first[1][frame_height - 1] + space->count[1][frame_height - 1];
    for (int32_t y = used; y < end; y++) {
        weckd_region_row(region, (uint32_t)y, space->row);
        resize_row(space, frame_width, taps[0], space->half + (size_t)(y - used) * row_bytes);
    }
    for (uint32_t y = 0; y < frame_height; y++) {
        const int32_t *w = space->weights[1] + (size_t)y * taps[1];
        const uint8_t *in = space->half + (size_t)(space->first[1][y] - used) * row_bytes;
        for (size_t x = 0; x < row_bytes; x++) {
            int32_t sum = 1 << (BITS - 1);
            for (int32_t k = 0; k < space->count[1][y]; k++) {
                sum += in[(size_t)k * row_bytes + x] * w[k];
            }
            frame[(size_t)y * row_bytes + x] = clip(sum);
        }
    }
}
