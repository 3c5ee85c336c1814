/* The functions that Python calls, by ctypes, of devices/native/library.py. SPDX-License-Identifier: Apache-2.0 */
#include "guard/guard.h"
#include "image/front_end.h"

#include <stdlib.h>
#include <string.h>

#define JUDGED 5 /* numbers that a frame is judged by: the score and the four of quality */

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
 * judged, score and whitened features are 0. */
WECKD_EXPORT void weckd_pixels_guard_init(void *memory, uint32_t height, uint32_t width, const double *mean,
                                          const double *whitening);
/* Measure the crop of an RGB frame. `numbers` gets the score, the four numbers of quality, the whitened features and the features. */
WECKD_EXPORT void weckd_pixels_guard_measure(void *memory, const uint8_t *crop, size_t stride, double *numbers);
/* Return the bytes of a front end with a guard: weckd_pixels_front_end_init writes them. 0: its sizes do not fit together. */
WECKD_EXPORT size_t weckd_pixels_front_end_bytes(const weckd_front_end_spec *spec);
/* Make a front end in the caller's memory, aligned to 64 bytes. `box` is the crop that the guard looks at, left, top, width and
 * height in the frame; NULL: there is no guard. */
WECKD_EXPORT void weckd_pixels_front_end_init(void *memory, const weckd_front_end_spec *spec, const uint32_t *box,
                                              const double *mean, const double *whitening);
/* Write what the graph takes of a frame of any size: the network's pixels, or the frame's crop where they are not resized.
 * `numbers` gets what weckd_pixels_guard_measure gives, without the features, where there is a guard. `message` has
 * WECKD_MESSAGE_BYTES. */
WECKD_EXPORT int weckd_pixels_front_end_run(void *memory, const weckd_frame *frame, uint8_t *pixels, double *numbers, char *message);

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

static void put_measured(const weckd_guard_state *state, const weckd_quality *quality, double *numbers) {
    numbers[1] = quality->sharpness;
    numbers[2] = quality->contrast;
    numbers[3] = quality->dark_fraction;
    numbers[4] = quality->bright_fraction;
    memcpy(&numbers[JUDGED], state->white, WECKD_GUARD_FEATURES * sizeof numbers[0]);
}

void weckd_pixels_guard_measure(void *memory, const uint8_t *crop, size_t stride, double *numbers) {
    weckd_quality quality;
    (void)weckd_guard_check(memory, crop, stride, false, &quality, &numbers[0]);
    put_measured(memory, &quality, numbers);
    weckd_guard_features(memory, &numbers[JUDGED + WECKD_GUARD_FEATURES]);
}

/* A front end, its guard and what it needs beside them. */
typedef struct front_end_state {
    weckd_front_end_spec spec;
    weckd_front_end *front_end;
    bool has_guard;
    size_t crop, stride; /* of the guard's crop in what is written: bytes before its first pixel, and from row to row */
    weckd_guard_state guard;
} front_end_state;

static size_t state_bytes(void) { return (sizeof(front_end_state) + 63) / 64 * 64; }

size_t weckd_pixels_front_end_bytes(const weckd_front_end_spec *spec) {
    size_t bytes = weckd_front_end_bytes(spec);
    return bytes == 0 ? 0 : state_bytes() + bytes;
}

void weckd_pixels_front_end_init(void *memory, const weckd_front_end_spec *spec, const uint32_t *box, const double *mean,
                                 const double *whitening) {
    front_end_state *state = memory;
    memset(state, 0, sizeof *state);
    state->spec = *spec;
    state->front_end = weckd_front_end_init(spec, (uint8_t *)memory + state_bytes());
    state->has_guard = box != NULL;
    if (box != NULL) {
        state->stride = (size_t)spec->width * 3;
        state->crop = (size_t)(box[1] - spec->top) * state->stride + (size_t)(box[0] - spec->left) * 3;
        weckd_pixels_guard_init(&state->guard, box[3], box[2], mean, whitening);
    }
}

int weckd_pixels_front_end_run(void *memory, const weckd_frame *frame, uint8_t *pixels, double *numbers, char *message) {
    front_end_state *state = memory;
    weckd_region region;
    weckd_quality quality = {0};
    int status = weckd_frame_region(frame, &region, (weckd_error){message});
    if (status != WECKD_OK) {
        return status;
    }
    if (state->spec.network_width != 0) {
        weckd_front_end_pixels(state->front_end, &region, state->has_guard ? &state->guard : NULL, NULL, pixels);
        if (state->has_guard) {
            (void)weckd_guard_finish(&state->guard, &quality, &numbers[0]);
        }
    } else {
        weckd_front_end_crop(state->front_end, &region, pixels);
        if (state->has_guard) {
            (void)weckd_guard_check(&state->guard, pixels + state->crop, state->stride, false, &quality, &numbers[0]);
        }
    }
    if (state->has_guard) {
        put_measured(&state->guard, &quality, numbers);
    }
    return WECKD_OK;
}
