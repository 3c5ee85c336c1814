/* Every loop has a fixed length, so that compilers make vectors of it; each function is compiled once more for AVX2.
 * SPDX-License-Identifier: Apache-2.0 */
#include "guard/sums.h"

#include <string.h>

#define GRID WECKD_GUARD_GRID
#define COUNT WECKD_GUARD_COUNT
#define CELLS WECKD_GUARD_CELLS
#define BINS WECKD_GUARD_BINS
#define ROWS WECKD_POINT_ROWS
#define BLOCK (ROWS * GRID) /* points that are added together */
#define DARK 16    /* luminance under which a point counts as near black */
#define BRIGHT 250 /* luminance from which on it counts as near white */
#define INLINE static inline __attribute__((always_inline))

INLINE int32_t sum(const int16_t *values, int count) {
    int32_t total = 0;
    for (int j = 0; j < count; j++) {
        total += values[j];
    }
    return total;
}

INLINE int32_t sum2(const int16_t *values, int count) {
    int32_t total = 0;
    for (int j = 0; j < count; j++) {
        total += values[j] * values[j];
    }
    return total;
}

INLINE int32_t difference2(const int16_t *one, const int16_t *other, int count) {
    int32_t total = 0;
    for (int j = 0; j < count; j++) {
        int16_t difference = (int16_t)(one[j] - other[j]);
        total += difference * difference;
    }
    return total;
}

INLINE void add_points(weckd_grid_sums *grid, uint32_t first) {
    const weckd_points *points = &grid->points;
    weckd_sums *sums = &grid->sums;
    int16_t laplacian[BLOCK], columns[GRID] = {0};
    for (int c = 0; c < 3; c++) {
        sums->colour[c] += sum(points->colour[c][0], BLOCK);
        sums->colour2[c] += sum2(points->colour[c][0], BLOCK);
    }
    for (int c = 0; c < 2; c++) {
        sums->difference2[c] += difference2(points->colour[c][0], points->colour[c + 1][0], BLOCK);
    }
    const int16_t *light = points->light[0], *above = points->above[0], *below = points->below[0];
    const int16_t *before = points->before[0], *after = points->after[0];
    for (int j = 0; j < BLOCK; j++) {
        laplacian[j] = (int16_t)(4 * light[j] - above[j] - below[j] - before[j] - after[j]);
    }
    sums->laplacian += sum(laplacian, BLOCK);
    sums->across2 += difference2(after, before, BLOCK);
    sums->along2 += difference2(below, above, BLOCK);
    for (int part = 0; part < 2 * ROWS; part++) {
        sums->roughness[first / (GRID / 2)][part % 2] += sum2(laplacian + part * (GRID / 2), GRID / 2);
    }
    for (int row = 0; row < ROWS; row++) {
        for (int j = 0; j < GRID; j++) {
            columns[j] = (int16_t)(columns[j] + points->light[row][j]);
        }
    }
    for (int cell = 0; cell < CELLS; cell++) {
        sums->cells[first / (GRID / CELLS)][cell] += sum(columns + cell * (GRID / CELLS), GRID / CELLS);
    }
    memcpy(grid->light + first * GRID, points->light, sizeof points->light);
}

/* Return how many points have at least this luminance; the number has at most 13 bits. */
INLINE int16_t count_from(const int16_t light[COUNT], int16_t least) {
    int16_t points = 0;
    for (int j = 0; j < COUNT; j++) {
        points = (int16_t)(points + (light[j] >= least));
    }
    return points;
}

INLINE void count_levels(const int16_t light[COUNT], weckd_sums *sums) {
    const int16_t from[BINS + 1] = {COUNT,                  count_from(light, 32),  count_from(light, 64),
                                    count_from(light, 96),  count_from(light, 128), count_from(light, 160),
                                    count_from(light, 192), count_from(light, 224), 0};
    for (int bin = 0; bin < BINS; bin++) {
        sums->bins[bin] = from[bin] - from[bin + 1];
    }
    sums->dark = COUNT - count_from(light, DARK);
    sums->bright = count_from(light, BRIGHT);
}

/* Return the squares of differences to the point `lag` on, without those that would lie in the next row. */
INLINE int32_t right2(const int16_t *light, int lag) {
    int16_t inside[GRID];
    int32_t total = 0;
    for (int j = 0; j < GRID; j++) {
        inside[j] = (int16_t)(j < GRID - lag ? -1 : 0);
    }
    for (int i = 0; i < GRID; i++, light += GRID) {
        for (int j = 0; j < GRID; j++) {
            int16_t difference = (int16_t)((light[j + lag] - light[j]) & inside[j]);
            total += difference * difference;
        }
    }
    return total;
}

INLINE void add_grid(weckd_grid_sums *grid) {
    weckd_sums *sums = &grid->sums;
    sums->luminance2 = sum2(grid->light, COUNT);
    count_levels(grid->light, sums);
    for (int i = 0; i < WECKD_GUARD_LAGS; i++) {
        int lag = 1 << i;
        sums->right2[i] = right2(grid->light, lag);
        sums->down2[i] = difference2(grid->light + lag * GRID, grid->light, (GRID - lag) * GRID);
    }
}

#ifdef WECKD_BUILD_SSE2
#define AVX2 __attribute__((target("avx2")))

AVX2 static void add_points_avx2(weckd_grid_sums *grid, uint32_t first) { add_points(grid, first); }

AVX2 static void add_grid_avx2(weckd_grid_sums *grid) { add_grid(grid); }
#endif

void weckd_add_points(weckd_instructions instructions, weckd_grid_sums *grid, uint32_t first) {
    if (first == 0) {
        memset(&grid->sums, 0, sizeof grid->sums);
    }
#ifdef WECKD_BUILD_SSE2
    if (instructions == WECKD_AVX2) {
        add_points_avx2(grid, first);
        return;
    }
#endif
    (void)instructions;
    add_points(grid, first);
}

void weckd_add_grid(weckd_instructions instructions, weckd_grid_sums *grid) {
#ifdef WECKD_BUILD_SSE2
    if (instructions == WECKD_AVX2) {
        add_grid_avx2(grid);
        return;
    }
#endif
    (void)instructions;
    add_grid(grid);
}
