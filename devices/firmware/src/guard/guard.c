/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/guard.h"

#include <math.h>
#include <string.h>

#define GRID WECKD_GUARD_GRID
#define COUNT ((int64_t)WECKD_GUARD_COUNT)
#define FEATURES WECKD_GUARD_FEATURES
#define CELLS WECKD_GUARD_CELLS

static void place_grid(uint32_t *at, uint32_t side) {
    for (uint32_t i = 0; i < GRID; i++) {
        at[i] = 1 + (2 * i + 1) * (side - 2) / (2 * GRID);
    }
}

void weckd_guard_set_grid(weckd_guard_state *state, uint32_t width, uint32_t height) {
    place_grid(state->rows, height);
    place_grid(state->columns, width);
    state->instructions = weckd_best_instructions();
}

void weckd_guard_row(weckd_guard_state *state, uint32_t i, const uint8_t *above, const uint8_t *at, const uint8_t *below,
                     bool is_bgr) {
    uint32_t to = i % WECKD_POINT_ROWS;
    weckd_three_rows rows = {.above = above, .at = at, .below = below, .is_bgr = is_bgr};
    weckd_read_points(state->instructions, &rows, state->columns, to, &state->grid.points);
    if (to == WECKD_POINT_ROWS - 1) {
        weckd_add_points(state->instructions, &state->grid, i - to);
    }
}

/* Return the standard deviation of the grid's numbers, from the sum of their squares and their sum. */
static double deviation(int64_t squares, int64_t total) {
    return sqrt((double)(squares * COUNT - total * total) / (double)(COUNT * COUNT));
}

/* Return the square root of a root mean square, which spreads small values. */
static double double_root(int64_t squares, int64_t of) { return sqrt(sqrt((double)squares / (double)of)); }

/* Return the squared Laplacians of all quarters. */
static int64_t laplacian2(const weckd_sums *sums) {
    int64_t total = 0;
    for (int i = 0; i < 4; i++) {
        total += sums->roughness[i / 2][i % 2];
    }
    return total;
}

static int64_t luminance(const weckd_sums *sums) {
    int64_t total = 0;
    for (int i = 0; i < CELLS * CELLS; i++) {
        total += sums->cells[i / CELLS][i % CELLS];
    }
    return total;
}

void weckd_guard_features(const weckd_guard_state *state, double feature[FEATURES]) {
    const weckd_sums *sums = &state->grid.sums;
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
    feature[at++] = double_root(laplacian2(sums), COUNT);
    feature[at++] = double_root(sums->across2, COUNT);
    feature[at++] = double_root(sums->along2, COUNT);
    for (int i = 0; i < WECKD_GUARD_LAGS; i++) {
        feature[at++] = double_root(sums->right2[i], GRID * (GRID - (1 << i)));
        feature[at++] = double_root(sums->down2[i], GRID * (GRID - (1 << i)));
    }
    for (int bin = 0; bin < WECKD_GUARD_BINS; bin++) {
        feature[at++] = sqrt((double)sums->bins[bin] / (double)COUNT);
    }
    for (int i = 0; i < CELLS * CELLS; i++) {
        feature[at++] = (double)sums->cells[i / CELLS][i % CELLS] / (double)(COUNT / (CELLS * CELLS));
    }
    for (int i = 0; i < 4; i++) {
        feature[at++] = double_root(sums->roughness[i / 2][i % 2], COUNT / 4);
    }
}

/* Whiten the features, and return the squared Mahalanobis distance from the mean of the training frames. Column by column, vectors
 * run over the rows and every sum keeps its order. */
static double whiten(const weckd_guard *guard, const double feature[FEATURES], double whitened[WECKD_GUARD_WHITE]) {
    double white[WECKD_GUARD_WHITE] = {0.0}, total = 0.0; /* apart from the guard, so that compilers make vectors of the sums */
    for (int j = 0; j < FEATURES; j++) {
        double centred = feature[j] - guard->mean[j];
        for (int i = j / 4 * 4; i < WECKD_GUARD_WHITE; i++) { /* from the diagonal on, in whole vectors */
            white[i] += centred * guard->whitening[j][i];
        }
    }
    for (int i = 0; i < FEATURES; i++) {
        total += white[i] * white[i];
    }
    memcpy(whitened, white, sizeof white);
    return total;
}

static weckd_reason reason_of(const weckd_guard *guard, const weckd_quality *quality, double ood_score) {
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
    if (guard->max_ood_score.is_set && !(ood_score <= guard->max_ood_score.value)) { /* also where it is no number */
        return WECKD_REASON_OUT_OF_DISTRIBUTION;
    }
    return WECKD_REASON_NONE;
}

weckd_reason weckd_guard_finish(weckd_guard_state *state, weckd_quality *quality, double *ood_score) {
    const weckd_sums *sums = &state->grid.sums;
    double feature[FEATURES];
    weckd_add_grid(state->instructions, &state->grid);
    *quality = (weckd_quality){
        .sharpness = deviation(laplacian2(sums), sums->laplacian),
        .contrast = deviation(sums->luminance2, luminance(sums)),
        .dark_fraction = (double)sums->dark / (double)COUNT,
        .bright_fraction = (double)sums->bright / (double)COUNT,
    };
    weckd_guard_features(state, feature);
    *ood_score = whiten(&state->guard, feature, state->white);
    return reason_of(&state->guard, quality, *ood_score);
}

weckd_reason weckd_guard_check(weckd_guard_state *state, const uint8_t *crop, size_t stride, bool is_bgr, weckd_quality *quality,
                               double *ood_score) {
    for (uint32_t i = 0; i < GRID; i++) {
        const uint8_t *at = crop + stride * state->rows[i];
        weckd_guard_row(state, i, at - stride, at, at + stride, is_bgr);
    }
    return weckd_guard_finish(state, quality, ood_score);
}
