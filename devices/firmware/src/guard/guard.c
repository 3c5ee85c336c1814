/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/guard.h"

#include <math.h>
#include <string.h>

#define GRID WECKD_GUARD_GRID
#define COUNT ((int64_t)GRID * GRID)
#define FEATURES WECKD_GUARD_FEATURES
#define DARK 16
#define BRIGHT 250

/* Sums of whole numbers over the grid; the largest sum, of squared Laplacians, stays under 2^33. */
typedef struct counts {
    int64_t colour[3], colour2[3], difference2[2]; /* red, green, blue; red less green, green less blue */
    int64_t laplacian, laplacian2, across2, along2;
    int64_t luminance, luminance2;
    int64_t levels[256];
    int64_t cells[WECKD_GUARD_CELLS][WECKD_GUARD_CELLS], roughness[2][2];
} counts;

static void place_grid(uint32_t *at, uint32_t start, uint32_t side) {
    for (uint32_t i = 0; i < GRID; i++) {
        at[i] = start + 1 + (2 * i + 1) * (side - 2) / (2 * GRID);
    }
}

void weckd_guard_set_grid(weckd_guard_state *state, const weckd_manifest *manifest) {
    const weckd_contract *frame = &manifest->contract;
    place_grid(state->rows, (frame->frame_height - manifest->crop_height) / 2, manifest->crop_height);
    place_grid(state->columns, (frame->frame_width - manifest->crop_width) / 2, manifest->crop_width);
    state->frame_width = frame->frame_width;
}

static int32_t luminance_of(const uint8_t *pixel) { return (77 * pixel[0] + 150 * pixel[1] + 29 * pixel[2] + 128) >> 8; }

static int64_t sum(const int32_t values[GRID]) {
    int32_t total = 0;
    for (int j = 0; j < GRID; j++) {
        total += values[j];
    }
    return total;
}

/* Return the sum of squares of one row: the largest square, a Laplacian's, has 21 bits, and 64 of them 27. */
static int64_t sum2(const int32_t values[GRID]) {
    int32_t total = 0;
    for (int j = 0; j < GRID; j++) {
        total += values[j] * values[j];
    }
    return total;
}

static int64_t difference2(const int32_t one[GRID], const int32_t other[GRID]) {
    int32_t total = 0;
    for (int j = 0; j < GRID; j++) {
        total += (one[j] - other[j]) * (one[j] - other[j]);
    }
    return total;
}

static void count_row(counts *sums, int i, int32_t colour[3][GRID], const int32_t luminance[GRID], const int32_t laplacian[GRID]) {
    for (int c = 0; c < 3; c++) {
        sums->colour[c] += sum(colour[c]);
        sums->colour2[c] += sum2(colour[c]);
    }
    sums->difference2[0] += difference2(colour[0], colour[1]);
    sums->difference2[1] += difference2(colour[1], colour[2]);
    sums->laplacian += sum(laplacian);
    sums->luminance += sum(luminance);
    sums->luminance2 += sum2(luminance);
    for (int j = 0; j < GRID; j++) {
        sums->levels[luminance[j]]++;
        sums->cells[i / (GRID / WECKD_GUARD_CELLS)][j / (GRID / WECKD_GUARD_CELLS)] += luminance[j];
        sums->roughness[i / (GRID / 2)][j / (GRID / 2)] += laplacian[j] * laplacian[j];
    }
}

static void count_frame(weckd_guard_state *state, const uint8_t *frame, counts *sums) {
    size_t row_bytes = (size_t)state->frame_width * 3;
    int32_t colour[3][GRID], luminance[GRID], laplacian[GRID], up[GRID], down[GRID], before[GRID], after[GRID];
    memset(sums, 0, sizeof *sums);
    for (int i = 0; i < GRID; i++) {
        const uint8_t *row = frame + state->rows[i] * row_bytes;
        for (int j = 0; j < GRID; j++) {
            const uint8_t *pixel = row + (size_t)state->columns[j] * 3;
            colour[0][j] = pixel[0];
            colour[1][j] = pixel[1];
            colour[2][j] = pixel[2];
            luminance[j] = luminance_of(pixel);
            up[j] = luminance_of(pixel - row_bytes);
            down[j] = luminance_of(pixel + row_bytes);
            before[j] = luminance_of(pixel - 3);
            after[j] = luminance_of(pixel + 3);
            laplacian[j] = 4 * luminance[j] - up[j] - down[j] - before[j] - after[j];
            state->luminance[i][j] = (uint8_t)luminance[j];
        }
        count_row(sums, i, colour, luminance, laplacian);
        sums->across2 += difference2(after, before);
        sums->along2 += difference2(down, up);
    }
    for (int i = 0; i < 4; i++) {
        sums->laplacian2 += sums->roughness[i / 2][i % 2];
    }
}

/* Return the standard deviation of the grid's numbers, from the sum of their squares and their sum. */
static double deviation(int64_t squares, int64_t total) {
    return sqrt((double)(squares * COUNT - total * total) / (double)(COUNT * COUNT));
}

/* Return the square root of a root mean square, which spreads small values. */
static double double_root(int64_t squares, int64_t of) { return sqrt(sqrt((double)squares / (double)of)); }

static int64_t squared_differences(const weckd_guard_state *state, int down, int right) {
    int64_t total = 0;
    for (int i = 0; i < GRID - down; i++) {
        int32_t row = 0;
        for (int j = 0; j < GRID - right; j++) {
            int32_t difference = state->luminance[i + down][j + right] - state->luminance[i][j];
            row += difference * difference;
        }
        total += row;
    }
    return total;
}

static void measure_features(const weckd_guard_state *state, const counts *sums, double feature[FEATURES]) {
    int at = 0;
    for (int c = 0; c < 3; c++) {
        feature[at++] = (double)sums->colour[c] / (double)COUNT;
    }
    for (int c = 0; c < 3; c++) {
        feature[at++] = deviation(sums->colour2[c], sums->colour[c]);
    }
    for (int c = 0; c < 2; c++) {
        feature[at++] = deviation(sums->difference2[c], sums->colour[c] - sums->colour[c + 1]);
    }
    feature[at++] = double_root(sums->laplacian2, COUNT);
    feature[at++] = double_root(sums->across2, COUNT);
    feature[at++] = double_root(sums->along2, COUNT);
    for (int i = 0; i < WECKD_GUARD_LAGS; i++) {
        int lag = 1 << i;
        feature[at++] = double_root(squared_differences(state, 0, lag), GRID * (GRID - lag));
        feature[at++] = double_root(squared_differences(state, lag, 0), GRID * (GRID - lag));
    }
    for (int bin = 0; bin < WECKD_GUARD_BINS; bin++) {
        int64_t points = 0;
        for (int level = 0; level < 256 / WECKD_GUARD_BINS; level++) {
            points += sums->levels[bin * (256 / WECKD_GUARD_BINS) + level];
        }
        feature[at++] = sqrt((double)points / (double)COUNT);
    }
    for (int i = 0; i < WECKD_GUARD_CELLS * WECKD_GUARD_CELLS; i++) {
        feature[at++] = (double)sums->cells[i / WECKD_GUARD_CELLS][i % WECKD_GUARD_CELLS] /
                        (double)(COUNT / (WECKD_GUARD_CELLS * WECKD_GUARD_CELLS));
    }
    for (int i = 0; i < 4; i++) {
        feature[at++] = double_root(sums->roughness[i / 2][i % 2], COUNT / 4);
    }
}

/* Return the squared Mahalanobis distance from the mean of the training frames. */
static double squared_distance(const weckd_guard *guard, const double feature[FEATURES]) {
    double centred[FEATURES], total = 0.0;
    for (int i = 0; i < FEATURES; i++) {
        centred[i] = feature[i] - guard->mean[i];
    }
    for (int i = 0; i < FEATURES; i++) {
        double white = 0.0;
        for (int j = 0; j <= i; j++) {
            white += centred[j] * guard->whitening[i][j];
        }
        total += white * white;
    }
    return total;
}

weckd_reason weckd_guard_check(weckd_guard_state *state, const uint8_t *frame, weckd_quality *quality, double *ood_score) {
    counts sums;
    double feature[FEATURES];
    const weckd_guard *guard = &state->guard;
    count_frame(state, frame, &sums);
    measure_features(state, &sums, feature);
    int64_t dark = 0, bright = 0;
    for (int level = 0; level < DARK; level++) {
        dark += sums.levels[level];
    }
    for (int level = BRIGHT; level < 256; level++) {
        bright += sums.levels[level];
    }
    *quality = (weckd_quality){
        .sharpness = deviation(sums.laplacian2, sums.laplacian),
        .contrast = deviation(sums.luminance2, sums.luminance),
        .dark_fraction = (double)dark / (double)COUNT,
        .bright_fraction = (double)bright / (double)COUNT,
    };
    *ood_score = squared_distance(guard, feature);
    if (guard->max_dark.is_set && quality->dark_fraction > guard->max_dark.value) {
        return WECKD_REASON_TOO_DARK;
    }
    if (guard->max_bright.is_set && quality->bright_fraction > guard->max_bright.value) {
        return WECKD_REASON_TOO_BRIGHT;
    }
    if (guard->min_contrast.is_set && quality->contrast < guard->min_contrast.value) {
        return WECKD_REASON_FLAT;
    }
    if (guard->min_sharpness.is_set && quality->sharpness < guard->min_sharpness.value) {
        return WECKD_REASON_BLURRED;
    }
    if (guard->max_ood_score.is_set && !(*ood_score <= guard->max_ood_score.value)) { /* also where it is no number */
        return WECKD_REASON_OUT_OF_DISTRIBUTION;
    }
    return WECKD_REASON_NONE;
}
