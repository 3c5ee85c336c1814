/* The functions that Python calls, by ctypes, of devices/native/library.py. SPDX-License-Identifier: Apache-2.0 */
#include "guard/guard.h"
#include "image/area.h"

#include <stdlib.h>
#include <string.h>

/* Digest of the sources that this was compiled of: the loader refuses a library of other ones. */
WECKD_EXPORT const char *weckd_pixels_digest(void);
/* Name of the vector instructions that are used on this processor. */
WECKD_EXPORT const char *weckd_pixels_instructions(void);
/* Resize RGB pixels, rows `stride` bytes apart, by area to `out`, rows without padding. WECKD_ERR_MEMORY: there is none left. */
WECKD_EXPORT int weckd_pixels_resize(const uint8_t *pixels, size_t stride, uint32_t height, uint32_t width, uint32_t new_height,
                                     uint32_t new_width, uint8_t *out);
/* Return how many features the guard makes of a frame. */
WECKD_EXPORT uint32_t weckd_pixels_features(void);
/* Return the bytes of a guard's state. */
WECKD_EXPORT size_t weckd_pixels_guard_bytes(void);
/* Make a guard for crops of a size in the caller's memory. `whitening` is a square, row by row; NULL with `mean`: nothing is
 * judged, and the score is 0. */
WECKD_EXPORT void weckd_pixels_guard_init(void *memory, uint32_t height, uint32_t width, const double *mean,
                                          const double *whitening);
/* Measure the crop of an RGB frame. `numbers` gets the score, the four numbers of quality, and the features. */
WECKD_EXPORT void weckd_pixels_guard_measure(void *memory, const uint8_t *crop, size_t stride, double *numbers);

const char *weckd_pixels_digest(void) { return WECKD_SOURCES_DIGEST; }

const char *weckd_pixels_instructions(void) { return weckd_instructions_name(weckd_best_instructions()); }

static bool plan(uint32_t source, uint32_t target, weckd_area_axis *axis) {
    axis->spans = malloc(target * sizeof *axis->spans);
    axis->weights = malloc((size_t)target * weckd_area_taps(source, target) * sizeof *axis->weights);
    return axis->spans != NULL && axis->weights != NULL && weckd_area_plan(source, target, 0, target, axis);
}

int weckd_pixels_resize(const uint8_t *pixels, size_t stride, uint32_t height, uint32_t width, uint32_t new_height,
                        uint32_t new_width, uint8_t *out) {
    weckd_instructions instructions = weckd_best_instructions();
    weckd_area_axis down = {0}, across = {0};
    size_t values = (size_t)width * 3;
    const uint8_t **rows = malloc((size_t)weckd_area_taps(height, new_height) * sizeof *rows);
    uint16_t *sums = calloc(values + WECKD_AREA_SLACK, sizeof *sums);
    bool good = plan(height, new_height, &down) && plan(width, new_width, &across) && rows != NULL && sums != NULL;
    for (uint32_t y = 0; good && y < new_height; y++, out += (size_t)new_width * 3) {
        weckd_area_span span = down.spans[y];
        for (uint32_t k = 0; k < span.count; k++) {
            rows[k] = pixels + stride * (span.first + k);
        }
        weckd_area_rows(instructions, rows, down.weights + (size_t)y * down.taps, span.count, values, sums);
        weckd_area_columns(instructions, sums, &across, out);
    }
    free(down.spans);
    free(down.weights);
    free(across.spans);
    free(across.weights);
    free(rows);
    free(sums);
    return good ? WECKD_OK : WECKD_ERR_MEMORY;
}

uint32_t weckd_pixels_features(void) { return WECKD_GUARD_FEATURES; }

size_t weckd_pixels_guard_bytes(void) { return sizeof(weckd_guard_state); }

void weckd_pixels_guard_init(void *memory, uint32_t height, uint32_t width, const double *mean, const double *whitening) {
    weckd_guard_state *state = memory;
    memset(state, 0, sizeof *state);
    weckd_guard_set_grid(state, width, height);
    for (size_t j = 0; mean != NULL && j < WECKD_GUARD_FEATURES; j++) {
        state->guard.mean[j] = mean[j];
        for (size_t i = j; i < WECKD_GUARD_FEATURES; i++) {
            state->guard.whitening[j][i] = whitening[i * WECKD_GUARD_FEATURES + j];
        }
    }
}

void weckd_pixels_guard_measure(void *memory, const uint8_t *crop, size_t stride, double *numbers) {
    weckd_quality quality;
    (void)weckd_guard_check(memory, crop, stride, false, &quality, &numbers[0]);
    weckd_guard_features(memory, &numbers[5]);
    numbers[1] = quality.sharpness;
    numbers[2] = quality.contrast;
    numbers[3] = quality.dark_fraction;
    numbers[4] = quality.bright_fraction;
}
