/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <math.h>
#include <string.h>

#define GRID WECKD_GUARD_GRID
#define COUNT ((int64_t)GRID * GRID)
#define FEATURES WECKD_GUARD_FEATURES
#define DARK 16
#define BRIGHT 250

/* Sums of whole numbers over the grid; the largest, of squared Laplacians, stays under 2^33. */
typedef struct counts {
    int64_t colour[3], colour2[3], gap2[2]; /* red, green, blue; red less green, green less blue */
    int64_t bend, bend2, across2, along2;
    int64_t light, light2;
    int64_t levels[256];
    int64_t cells[WECKD_GUARD_CELLS][WECKD_GUARD_CELLS], rough[2][2];
} counts;

static void place(uint32_t *at, uint32_t start, uint32_t side) {
    for (uint32_t i = 0; i < GRID; i++) {
        at[i] = start + 1 + (2 * i + 1) * (side - 2) / (2 * GRID);
    }
}

void weckd_guard_place(weckd_guard_space *space, const weckd_manifest *manifest) {
    uint32_t width = manifest->contract.frame_width, height = manifest->contract.frame_height;
    uint32_t side = width < height ? width : height;
    bool whole = manifest->is_stretched;
    place(space->rows, whole ? 0 : (height - side) / 2, whole ? height : side);
    place(space->columns, whole ? 0 : (width - side) / 2, whole ? width : side);
    space->frame_width = width;
}

static int32_t luminance(const uint8_t *pixel) { return (77 * pixel[0] + 150 * pixel[1] + 29 * pixel[2] + 128) >> 8; }

static int64_t sum(const int32_t values[GRID]) {
    int32_t total = 0;
    for (int j = 0; j < GRID; j++) {
        total += values[j];
    }
    return total;
}

/* Of a row: the largest square, a Laplacian's, has 21 bits, and 64 of them 27. */
static int64_t sum2(const int32_t values[GRID]) {
    int32_t total = 0;
    for (int j = 0; j < GRID; j++) {
        total += values[j] * values[j];
    }
    return total;
}

static int64_t gap2(const int32_t one[GRID], const int32_t other[GRID]) {
    int32_t total = 0;
    for (int j = 0; j < GRID; j++) {
        total += (one[j] - other[j]) * (one[j] - other[j]);
    }
    return total;
}

static void count_row(counts *sums, int i, int32_t colour[3][GRID], const int32_t light[GRID], const int32_t bend[GRID]) {
    for (int c = 0; c < 3; c++) {
        sums->colour[c] += sum(colour[c]);
        sums->colour2[c] += sum2(colour[c]);
    }
    sums->gap2[0] += gap2(colour[0], colour[1]);
    sums->gap2[1] += gap2(colour[1], colour[2]);
    sums->bend += sum(bend);
    sums->light += sum(light);
    sums->light2 += sum2(light);
    for (int j = 0; j < GRID; j++) {
        sums->levels[light[j]]++;
        sums->cells[i / (GRID / WECKD_GUARD_CELLS)][j / (GRID / WECKD_GUARD_CELLS)] += light[j];
        sums->rough[i / (GRID / 2)][j / (GRID / 2)] += bend[j] * bend[j];
    }
}

static void count(weckd_guard_space *space, const uint8_t *frame, counts *sums) {
    size_t row_bytes = (size_t)space->frame_width * 3;
    int32_t colour[3][GRID], light[GRID], bend[GRID], up[GRID], down[GRID], before[GRID], after[GRID];
    memset(sums, 0, sizeof *sums);
    for (int i = 0; i < GRID; i++) {
        const uint8_t *row = frame + space->rows[i] * row_bytes;
        for (int j = 0; j < GRID; j++) {
            const uint8_t *pixel = row + (size_t)space->columns[j] * 3;
            colour[0][j] = pixel[0];
            colour[1][j] = pixel[1];
            colour[2][j] = pixel[2];
            light[j] = luminance(pixel);
            up[j] = luminance(pixel - row_bytes);
            down[j] = luminance(pixel + row_bytes);
            before[j] = luminance(pixel - 3);
            after[j] = luminance(pixel + 3);
            bend[j] = 4 * light[j] - up[j] - down[j] - before[j] - after[j];
            space->light[i][j] = (uint8_t)light[j];
        }
        count_row(sums, i, colour, light, bend);
        sums->across2 += gap2(after, before);
        sums->along2 += gap2(down, up);
    }
    for (int i = 0; i < 4; i++) {
        sums->bend2 += sums->rough[i / 2][i % 2];
    }
}

/* Standard deviation of the grid's numbers, from the sum of their squares and their sum. */
static double deviation(int64_t squares, int64_t total) {
    return sqrt((double)(squares * COUNT - total * total) / (double)(COUNT * COUNT));
}

static double root(int64_t squares, int64_t of) { return sqrt(sqrt((double)squares / (double)of)); }

static int64_t squared_differences(const weckd_guard_space *space, int down, int right) {
    int64_t total = 0;
    for (int i = 0; i < GRID - down; i++) {
        int32_t row = 0;
        for (int j = 0; j < GRID - right; j++) {
            int32_t gap = space->light[i + down][j + right] - space->light[i][j];
            row += gap * gap;
        }
        total += row;
    }
    return total;
}

static void describe(const weckd_guard_space *space, const counts *sums, double feature[FEATURES]) {
    int at = 0;
    for (int c = 0; c < 3; c++) {
        feature[at++] = (double)sums->colour[c] / (double)COUNT;
    }
    for (int c = 0; c < 3; c++) {
        feature[at++] = deviation(sums->colour2[c], sums->colour[c]);
    }
    for (int c = 0; c < 2; c++) {
        feature[at++] = deviation(sums->gap2[c], sums->colour[c] - sums->colour[c + 1]);
    }
    feature[at++] = root(sums->bend2, COUNT);
    feature[at++] = root(sums->across2, COUNT);
    feature[at++] = root(sums->along2, COUNT);
    for (int i = 0; i < WECKD_GUARD_LAGS; i++) {
        int lag = 1 << i;
        feature[at++] = root(squared_differences(space, 0, lag), GRID * (GRID - lag));
        feature[at++] = root(squared_differences(space, lag, 0), GRID * (GRID - lag));
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
        feature[at++] = root(sums->rough[i / 2][i % 2], COUNT / 4);
    }
}

static double distance(const weckd_guard *guard, const double feature[FEATURES]) {
    double apart[FEATURES], total = 0.0;
    for (int i = 0; i < FEATURES; i++) {
        apart[i] = feature[i] - guard->mean[i];
    }
    for (int i = 0; i < FEATURES; i++) {
        double white = 0.0;
        for (int j = 0; j <= i; j++) {
            white += apart[j] * guard->whitening[i][j];
        }
        total += white * white;
    }
    return total;
}

weckd_reason weckd_guard_look(weckd_guard_space *space, const uint8_t *frame, weckd_quality *quality, double *unfamiliarity) {
    counts sums;
    double feature[FEATURES];
    const weckd_guard *guard = &space->guard;
    count(space, frame, &sums);
    describe(space, &sums, feature);
    int64_t dark = 0, bright = 0;
    for (int level = 0; level < DARK; level++) {
        dark += sums.levels[level];
    }
    for (int level = BRIGHT; level < 256; level++) {
        bright += sums.levels[level];
    }
    *quality = (weckd_quality){
        .sharpness = deviation(sums.bend2, sums.bend),
        .contrast = deviation(sums.light2, sums.light),
        .dark_share = (double)dark / (double)COUNT,
        .bright_share = (double)bright / (double)COUNT,
    };
    *unfamiliarity = distance(guard, feature);
    if (guard->most_dark.is_set && quality->dark_share > guard->most_dark.value) {
        return WECKD_REASON_TOO_DARK;
    }
    if (guard->most_bright.is_set && quality->bright_share > guard->most_bright.value) {
        return WECKD_REASON_TOO_BRIGHT;
    }
    if (guard->least_contrast.is_set && quality->contrast < guard->least_contrast.value) {
        return WECKD_REASON_FLAT;
    }
    if (guard->least_sharpness.is_set && quality->sharpness < guard->least_sharpness.value) {
        return WECKD_REASON_BLURRED;
    }
    if (guard->most_unfamiliar.is_set && !(*unfamiliarity <= guard->most_unfamiliar.value)) { /* also where it is no number */
        return WECKD_REASON_UNFAMILIAR;
    }
    return WECKD_REASON_NONE;
}
