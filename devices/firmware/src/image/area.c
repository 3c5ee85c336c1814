/* SPDX-License-Identifier: Apache-2.0 */
#include "image/area.h"

#include <string.h>

#ifdef WECKD_BUILD_SSE2
#include <immintrin.h>
#endif
#ifdef WECKD_BUILD_NEON
#include <arm_neon.h>
#endif

#define SHIFT 14 /* from a weighted sum of rows and columns to grey levels */
#define HALF (1 << (SHIFT - 1))
#define WHOLE_SHIFT 7 /* from a value to its sum where it weighs all of WECKD_AREA_TOTAL, which int8 does not hold */

uint32_t weckd_area_taps(uint32_t source, uint32_t target) {
    if (target == 0) {
        return 0;
    }
    uint32_t most = (uint32_t)(((uint64_t)source + target - 1) / target) + 1; /* a part of a pixel on either side */
    return most + (most & 1);
}

/* Plan new pixel `i`: skip the pixels in front that weigh 0, and leave those behind out. */
static weckd_area_span plan_pixel(uint32_t source, uint32_t target, uint32_t i, int16_t *weights) {
    uint64_t start = (uint64_t)i * source, end = start + source; /* in units of 1 / target of an old pixel */
    uint64_t before = 0;
    weckd_area_span span = {0, 0};
    uint32_t taken = 0;
    for (uint64_t j = start / target; j * target < end; j++) {
        uint64_t covered = ((j + 1) * target < end ? (j + 1) * target : end) - start;
        uint64_t together = (WECKD_AREA_TOTAL * covered + source / 2) / source;
        if (together > 0 && taken == 0) {
            span.first = (uint32_t)j;
        }
        if (together > 0) {
            weights[taken++] = (int16_t)(together - before);
        }
        if (together > before) {
            span.count = taken;
        }
        before = together;
    }
    return span;
}

bool weckd_area_plan(uint32_t source, uint32_t target, uint32_t from, uint32_t length, weckd_area_axis *axis) {
    if (source == 0 || target == 0 || length == 0 || (uint64_t)from + length > target) {
        return false;
    }
    axis->length = length;
    axis->pairs = 0;
    axis->taps = weckd_area_taps(source, target);
    memset(axis->weights, 0, (size_t)length * axis->taps * sizeof *axis->weights);
    for (uint32_t i = 0; i < length; i++) {
        axis->spans[i] = plan_pixel(source, target, from + i, axis->weights + (size_t)i * axis->taps);
        uint32_t pairs = (axis->spans[i].count + 1) / 2;
        axis->pairs = pairs > axis->pairs ? pairs : axis->pairs;
    }
    return true;
}

static void rows_plain(const uint8_t *const *rows, const int16_t *weights, uint32_t count, size_t from, size_t values,
                       uint16_t *sums) {
    for (size_t x = from; x < values; x++) {
        int32_t sum = 0;
        for (uint32_t k = 0; k < count; k++) {
            sum += weights[k] * rows[k][x];
        }
        sums[x] = (uint16_t)sum;
    }
}

static void columns_plain(const uint16_t *sums, const weckd_area_axis *across, uint8_t *out) {
    for (uint32_t x = 0; x < across->length; x++) {
        const int16_t *weights = across->weights + (size_t)x * across->taps;
        const uint16_t *in = sums + (size_t)across->spans[x].first * 3;
        for (uint32_t c = 0; c < 3; c++) {
            int32_t sum = HALF;
            for (uint32_t k = 0; k < across->spans[x].count; k++) {
                sum += weights[k] * in[3 * k + c];
            }
            out[3 * x + c] = (uint8_t)(sum >> SHIFT);
        }
    }
}

#ifdef WECKD_BUILD_SSE2
static int32_t pair_of(const int16_t *weights) {
    int32_t pair;
    memcpy(&pair, weights, sizeof pair);
    return pair;
}

/* Weigh 16 values of all rows. */
static void rows_sse2_at(const uint8_t *const *rows, const int16_t *weights, uint32_t count, size_t x, uint16_t *sums) {
    const __m128i zero = _mm_setzero_si128();
    __m128i low = zero, high = zero;
    for (uint32_t k = 0; k < count; k++) {
        __m128i weight = _mm_set1_epi16(weights[k]), one = _mm_loadu_si128((const __m128i *)(rows[k] + x));
        low = _mm_add_epi16(low, _mm_mullo_epi16(_mm_unpacklo_epi8(one, zero), weight));
        high = _mm_add_epi16(high, _mm_mullo_epi16(_mm_unpackhi_epi8(one, zero), weight));
    }
    _mm_storeu_si128((__m128i *)(sums + x), low);
    _mm_storeu_si128((__m128i *)(sums + x + 8), high);
}

static void rows_sse2(const uint8_t *const *rows, const int16_t *weights, uint32_t count, size_t values, uint16_t *sums) {
    if (values < 16) {
        rows_plain(rows, weights, count, 0, values, sums);
        return;
    }
    for (size_t x = 0; x + 16 < values; x += 16) {
        rows_sse2_at(rows, weights, count, x, sums);
    }
    rows_sse2_at(rows, weights, count, values - 16, sums); /* overlaps what was written before */
}

static void columns_sse2(const uint16_t *sums, const weckd_area_axis *across, uint8_t *out) {
    for (uint32_t x = 0; x < across->length; x++, out += 3) {
        const int16_t *weights = across->weights + (size_t)x * across->taps;
        const uint16_t *in = sums + (size_t)across->spans[x].first * 3;
        __m128i sum = _mm_set1_epi32(HALF);
        for (uint32_t k = 0; k < across->spans[x].count; k += 2, in += 6) {
            __m128i two = _mm_loadu_si128((const __m128i *)in);
            __m128i colours = _mm_unpacklo_epi16(two, _mm_srli_si128(two, 6)); /* red and red, green and green, blue and blue */
            sum = _mm_add_epi32(sum, _mm_madd_epi16(colours, _mm_set1_epi32(pair_of(weights + k))));
        }
        __m128i levels = _mm_srli_epi32(sum, SHIFT);
        levels = _mm_packs_epi32(levels, levels);
        uint32_t rgb = (uint32_t)_mm_cvtsi128_si32(_mm_packus_epi16(levels, levels));
        out[0] = (uint8_t)rgb;
        out[1] = (uint8_t)(rgb >> 8);
        out[2] = (uint8_t)(rgb >> 16);
    }
}

#define AVX2 __attribute__((target("avx2")))

/* Add the weighed values of two rows to sums of 32 values. Each half of a vector is worked on by itself. */
AVX2 static inline void add_two(__m256i one, __m256i other, __m256i pair, __m256i sums[2]) {
    sums[0] = _mm256_add_epi16(sums[0], _mm256_maddubs_epi16(_mm256_unpacklo_epi8(one, other), pair));
    sums[1] = _mm256_add_epi16(sums[1], _mm256_maddubs_epi16(_mm256_unpackhi_epi8(one, other), pair));
}

/* Weigh 32 * `vectors` values of all rows, two rows at a time. */
AVX2 static inline void rows_avx2_at(const uint8_t *const *rows, const int16_t *weights, uint32_t count, size_t x, int vectors,
                                     uint16_t *sums) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i found[2][2] = {{zero, zero}, {zero, zero}}; /* values 0 to 7 and 16 to 23, and those behind them */
    uint32_t k = 0;
    for (; k + 1 < count; k += 2) {
        __m256i pair = _mm256_set1_epi16((int16_t)(weights[k] | weights[k + 1] << 8));
        for (int v = 0; v < vectors; v++) {
            add_two(_mm256_loadu_si256((const __m256i *)(rows[k] + x + 32 * v)),
                    _mm256_loadu_si256((const __m256i *)(rows[k + 1] + x + 32 * v)), pair, found[v]);
        }
    }
    if (k < count) {
        for (int v = 0; v < vectors; v++) {
            add_two(_mm256_loadu_si256((const __m256i *)(rows[k] + x + 32 * v)), zero, _mm256_set1_epi16(weights[k]), found[v]);
        }
    }
    for (int v = 0; v < vectors; v++) {
        __m256i *to = (__m256i *)(sums + x + 32 * v);
        _mm256_storeu_si256(to, _mm256_permute2x128_si256(found[v][0], found[v][1], 0x20));
        _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(found[v][0], found[v][1], 0x31));
    }
}

/* Widen 32 values of the only row. */
AVX2 static void whole_avx2_at(const uint8_t *row, size_t x, uint16_t *sums) {
    for (size_t i = x; i < x + 32; i += 16) {
        __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(row + i)));
        _mm256_storeu_si256((__m256i *)(sums + i), _mm256_slli_epi16(wide, WHOLE_SHIFT));
    }
}

AVX2 static void rows_avx2(const uint8_t *const *rows, const int16_t *weights, uint32_t count, size_t values, uint16_t *sums) {
    if (values < 32) {
        rows_sse2(rows, weights, count, values, sums);
    } else if (count == 1) {
        for (size_t x = 0; x + 32 < values; x += 32) {
            whole_avx2_at(rows[0], x, sums);
        }
        whole_avx2_at(rows[0], values - 32, sums);
    } else {
        size_t x = 0;
        for (; x + 64 < values; x += 64) {
            rows_avx2_at(rows, weights, count, x, 2, sums);
        }
        if (x + 32 < values) {
            rows_avx2_at(rows, weights, count, x, 1, sums);
        }
        rows_avx2_at(rows, weights, count, values - 32, 1, sums);
    }
}

/* Load eight values of each of two places into the halves of a vector. */
AVX2 static __m256i load_two(const uint16_t *one, const uint16_t *other) {
    __m256i low = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)one));
    return _mm256_inserti128_si256(low, _mm_loadu_si128((const __m128i *)other), 1);
}

/* Weigh the columns of new pixels `x` and `x + 2`, one in each half of a vector, with `pairs` pairs of weights. */
AVX2 static inline __m256i two_pixels(const uint16_t *sums, const weckd_area_axis *across, uint32_t x, uint32_t pairs) {
    const __m256i colours = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1));
    const int16_t *weights = across->weights + (size_t)x * across->taps, *others = weights + 2 * (size_t)across->taps;
    const uint16_t *one = sums + (size_t)across->spans[x].first * 3, *other = sums + (size_t)across->spans[x + 2].first * 3;
    __m256i sum = _mm256_set1_epi32(HALF);
    for (uint32_t k = 0; k < 2 * pairs; k += 2, one += 6, other += 6) {
        __m256i both = _mm256_blend_epi32(_mm256_set1_epi32(pair_of(weights + k)), _mm256_set1_epi32(pair_of(others + k)), 0xf0);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_shuffle_epi8(load_two(one, other), colours), both));
    }
    return _mm256_srli_epi32(sum, SHIFT);
}

/* Make four new pixels: the first two in the low half, with two bytes of nothing behind them, the others in the high one. */
AVX2 static inline __m256i four_pixels(const uint16_t *sums, const weckd_area_axis *across, uint32_t x, uint32_t pairs) {
    const __m256i bytes = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 2, 4, 8, 10, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
    __m256i levels = _mm256_packs_epi32(two_pixels(sums, across, x, pairs), two_pixels(sums, across, x + 1, pairs));
    return _mm256_shuffle_epi8(levels, bytes);
}

AVX2 static inline void columns_avx2_by(const uint16_t *sums, const weckd_area_axis *across, uint32_t pairs, uint8_t *out) {
    for (uint32_t x = 0; x + 4 < across->length; x += 4) { /* what is written too far belongs to the next pixel */
        __m256i pixels = four_pixels(sums, across, x, pairs);
        _mm_storel_epi64((__m128i *)(out + (size_t)x * 3), _mm256_castsi256_si128(pixels));
        _mm_storel_epi64((__m128i *)(out + (size_t)x * 3 + 6), _mm256_extracti128_si256(pixels, 1));
    }
    uint8_t last[32];
    _mm256_storeu_si256((__m256i *)last, four_pixels(sums, across, across->length - 4, pairs));
    memcpy(out + (size_t)across->length * 3 - 12, last, 6);
    memcpy(out + (size_t)across->length * 3 - 6, last + 16, 6);
}

/* The compiler writes the usual numbers of weights without a loop. */
AVX2 static void columns_avx2(const uint16_t *sums, const weckd_area_axis *across, uint8_t *out) {
    if (across->length < 4) {
        columns_plain(sums, across, out);
        return;
    }
    switch (across->pairs) {
    case 1:
        columns_avx2_by(sums, across, 1, out);
        return;
    case 2:
        columns_avx2_by(sums, across, 2, out);
        return;
    case 3:
        columns_avx2_by(sums, across, 3, out);
        return;
    default:
        columns_avx2_by(sums, across, across->pairs, out);
    }
}
#endif

#ifdef WECKD_BUILD_NEON
/* Weigh 16 values of all rows. */
static void rows_neon_at(const uint8_t *const *rows, const int16_t *weights, uint32_t count, size_t x, uint16_t *sums) {
    uint16x8_t low = vdupq_n_u16(0), high = low;
    for (uint32_t k = 0; k < count; k++) {
        uint8x8_t weight = vdup_n_u8((uint8_t)weights[k]);
        uint8x16_t one = vld1q_u8(rows[k] + x);
        low = vmlal_u8(low, vget_low_u8(one), weight);
        high = vmlal_u8(high, vget_high_u8(one), weight);
    }
    vst1q_u16(sums + x, low);
    vst1q_u16(sums + x + 8, high);
}

static void rows_neon(const uint8_t *const *rows, const int16_t *weights, uint32_t count, size_t values, uint16_t *sums) {
    if (values < 16) {
        rows_plain(rows, weights, count, 0, values, sums);
        return;
    }
    for (size_t x = 0; x + 16 < values; x += 16) {
        rows_neon_at(rows, weights, count, x, sums);
    }
    rows_neon_at(rows, weights, count, values - 16, sums); /* overlaps what was written before */
}

static void columns_neon(const uint16_t *sums, const weckd_area_axis *across, uint8_t *out) {
    for (uint32_t x = 0; x < across->length; x++, out += 3) {
        const int16_t *weights = across->weights + (size_t)x * across->taps;
        const uint16_t *in = sums + (size_t)across->spans[x].first * 3;
        uint32x4_t sum = vdupq_n_u32(HALF);
        for (uint32_t k = 0; k < across->spans[x].count; k++, in += 3) {
            sum = vmlal_n_u16(sum, vld1_u16(in), (uint16_t)weights[k]); /* the fourth lane is the next pixel's red */
        }
        uint16x4_t levels = vmovn_u32(vshrq_n_u32(sum, SHIFT));
        out[0] = (uint8_t)vget_lane_u16(levels, 0);
        out[1] = (uint8_t)vget_lane_u16(levels, 1);
        out[2] = (uint8_t)vget_lane_u16(levels, 2);
    }
}
#endif

void weckd_area_rows(weckd_instructions instructions, const uint8_t *const *rows, const int16_t *weights, uint32_t count, size_t values,
                     uint16_t *sums) {
    switch (instructions) {
#ifdef WECKD_BUILD_SSE2
    case WECKD_AVX2:
        rows_avx2(rows, weights, count, values, sums);
        return;
    case WECKD_SSE2:
        rows_sse2(rows, weights, count, values, sums);
        return;
#endif
#ifdef WECKD_BUILD_NEON
    case WECKD_NEON:
        rows_neon(rows, weights, count, values, sums);
        return;
#endif
    default:
        rows_plain(rows, weights, count, 0, values, sums);
    }
}

void weckd_area_columns(weckd_instructions instructions, const uint16_t *sums, const weckd_area_axis *across, uint8_t *out) {
    switch (instructions) {
#ifdef WECKD_BUILD_SSE2
    case WECKD_AVX2:
        columns_avx2(sums, across, out);
        return;
    case WECKD_SSE2:
        columns_sse2(sums, across, out);
        return;
#endif
#ifdef WECKD_BUILD_NEON
    case WECKD_NEON:
        columns_neon(sums, across, out);
        return;
#endif
    default:
        columns_plain(sums, across, out);
    }
}
