/* SPDX-License-Identifier: Apache-2.0 */
#include "image/area.h"

#include <string.h>

#if defined(__x86_64__) || (defined(__i386__) && defined(__SSE2__))
#define WITH_SSE2
#include <immintrin.h>
#endif
#if defined(__ARM_NEON)
#define WITH_NEON
#include <arm_neon.h>
#endif

#define ROWS_SHIFT 8     /* from a weighted sum of rows to eighths of a grey level */
#define COLUMNS_SHIFT 14 /* from a weighted sum of those to grey levels */
#define ROWS_HALF (1 << (ROWS_SHIFT - 1))
#define COLUMNS_HALF (1 << (COLUMNS_SHIFT - 1))
#define ROW_SLACK 16 /* values behind a row that vectors read and weigh with 0 */

uint32_t weckd_area_taps(uint32_t source, uint32_t target) {
    if (target == 0) {
        return 0;
    }
    uint32_t most = (uint32_t)(((uint64_t)source + target - 1) / target) + 1; /* a part of a pixel on either side */
    return most + (most & 1);
}

size_t weckd_area_row_values(uint32_t width) { return (size_t)width * 3 + ROW_SLACK; }

bool weckd_area_plan(uint32_t source, uint32_t target, weckd_area_axis *axis) {
    if (source == 0 || target == 0 || source > (uint64_t)WECKD_AREA_TOTAL * target) {
        return false;
    }
    axis->source = source;
    axis->target = target;
    axis->taps = weckd_area_taps(source, target);
    memset(axis->weights, 0, (size_t)target * axis->taps * sizeof *axis->weights);
    for (uint32_t i = 0; i < target; i++) {
        uint64_t start = (uint64_t)i * source, end = start + source; /* in units of 1 / target of an old pixel */
        int16_t *weights = axis->weights + (size_t)i * axis->taps;
        uint64_t before = 0;
        axis->first[i] = (uint32_t)(start / target);
        for (uint64_t j = axis->first[i]; j * target < end; j++) {
            uint64_t covered = ((j + 1) * target < end ? (j + 1) * target : end) - start;
            uint64_t together = (WECKD_AREA_TOTAL * covered + source / 2) / source;
            weights[j - axis->first[i]] = (int16_t)(together - before);
            before = together;
        }
    }
    return true;
}

/* Return how many rows new row `y` weighs; behind them there may be none. */
static uint32_t rows_of(const weckd_area_axis *down, uint32_t y) {
    const int16_t *weights = down->weights + (size_t)y * down->taps;
    uint32_t count = down->taps;
    while (count > 1 && weights[count - 1] == 0) {
        count--;
    }
    return count;
}

/* Weigh `count` rows from value `from` on, `values` of them, to eighths of a grey level. */
static void rows_plain(const uint8_t *pixels, size_t stride, const int16_t *weights, uint32_t count, size_t from, size_t values,
                       uint16_t *row) {
    for (size_t x = from; x < values; x++) {
        int32_t sum = ROWS_HALF;
        for (uint32_t k = 0; k < count; k++) {
            sum += weights[k] * pixels[k * stride + x];
        }
        row[x] = (uint16_t)(sum >> ROWS_SHIFT);
    }
}

static void columns_plain(const uint16_t *row, const weckd_area_axis *across, uint8_t *out) {
    for (uint32_t x = 0; x < across->target; x++) {
        const int16_t *weights = across->weights + (size_t)x * across->taps;
        const uint16_t *in = row + (size_t)across->first[x] * 3;
        for (uint32_t c = 0; c < 3; c++) {
            int32_t sum = COLUMNS_HALF;
            for (uint32_t k = 0; k < across->taps; k++) {
                sum += weights[k] * in[3 * k + c];
            }
            out[3 * x + c] = (uint8_t)(sum >> COLUMNS_SHIFT);
        }
    }
}

#ifdef WITH_SSE2
static int32_t pair_of(const int16_t *weights) {
    int32_t pair;
    memcpy(&pair, weights, sizeof pair);
    return pair;
}

/* Weigh 16 values of all rows, two rows at a time. */
static void rows_sse2_at(const uint8_t *pixels, size_t stride, const int16_t *weights, uint32_t count, uint16_t *row) {
    const __m128i zero = _mm_setzero_si128();
    __m128i sums[4] = {_mm_set1_epi32(ROWS_HALF), _mm_set1_epi32(ROWS_HALF), _mm_set1_epi32(ROWS_HALF),
                       _mm_set1_epi32(ROWS_HALF)};
    for (uint32_t k = 0; k < count; k += 2, pixels += 2 * stride) {
        __m128i pair = _mm_set1_epi32(pair_of(weights + k));
        __m128i one = _mm_loadu_si128((const __m128i *)pixels);
        __m128i other = k + 1 < count ? _mm_loadu_si128((const __m128i *)(pixels + stride)) : zero;
        __m128i low = _mm_unpacklo_epi8(one, other), high = _mm_unpackhi_epi8(one, other);
        sums[0] = _mm_add_epi32(sums[0], _mm_madd_epi16(_mm_unpacklo_epi8(low, zero), pair));
        sums[1] = _mm_add_epi32(sums[1], _mm_madd_epi16(_mm_unpackhi_epi8(low, zero), pair));
        sums[2] = _mm_add_epi32(sums[2], _mm_madd_epi16(_mm_unpacklo_epi8(high, zero), pair));
        sums[3] = _mm_add_epi32(sums[3], _mm_madd_epi16(_mm_unpackhi_epi8(high, zero), pair));
    }
    for (int i = 0; i < 2; i++) {
        __m128i packed =
            _mm_packs_epi32(_mm_srli_epi32(sums[2 * i], ROWS_SHIFT), _mm_srli_epi32(sums[2 * i + 1], ROWS_SHIFT));
        _mm_storeu_si128((__m128i *)(row + 8 * i), packed);
    }
}

static void rows_sse2(const uint8_t *pixels, size_t stride, const int16_t *weights, uint32_t count, size_t values,
                      uint16_t *row) {
    if (values < 16) {
        rows_plain(pixels, stride, weights, count, 0, values, row);
        return;
    }
    for (size_t x = 0; x + 16 < values; x += 16) {
        rows_sse2_at(pixels + x, stride, weights, count, row + x);
    }
    rows_sse2_at(pixels + values - 16, stride, weights, count, row + values - 16); /* overlaps what was written before */
}

static void columns_sse2(const uint16_t *row, const weckd_area_axis *across, uint8_t *out) {
    for (uint32_t x = 0; x < across->target; x++, out += 3) {
        const int16_t *weights = across->weights + (size_t)x * across->taps;
        const uint16_t *in = row + (size_t)across->first[x] * 3;
        __m128i sum = _mm_set1_epi32(COLUMNS_HALF);
        for (uint32_t k = 0; k < across->taps; k += 2, in += 6) {
            __m128i two = _mm_loadu_si128((const __m128i *)in);
            __m128i colours = _mm_unpacklo_epi16(two, _mm_srli_si128(two, 6)); /* red and red, green and green, blue and blue */
            sum = _mm_add_epi32(sum, _mm_madd_epi16(colours, _mm_set1_epi32(pair_of(weights + k))));
        }
        __m128i levels = _mm_srli_epi32(sum, COLUMNS_SHIFT);
        levels = _mm_packs_epi32(levels, levels);
        uint32_t rgb = (uint32_t)_mm_cvtsi128_si32(_mm_packus_epi16(levels, levels));
        out[0] = (uint8_t)rgb;
        out[1] = (uint8_t)(rgb >> 8);
        out[2] = (uint8_t)(rgb >> 16);
    }
}

/* Weigh 32 values of all rows, two rows at a time. */
__attribute__((target("avx2"))) static void rows_avx2_at(const uint8_t *pixels, size_t stride, const int16_t *weights,
                                                         uint32_t count, uint16_t *row) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i a = _mm256_set1_epi32(ROWS_HALF), b = a, c = a, d = a;
    for (uint32_t k = 0; k < count; k += 2, pixels += 2 * stride) {
        __m256i pair = _mm256_set1_epi32(pair_of(weights + k));
        __m256i one = _mm256_loadu_si256((const __m256i *)pixels);
        __m256i other = k + 1 < count ? _mm256_loadu_si256((const __m256i *)(pixels + stride)) : zero;
        __m256i low = _mm256_unpacklo_epi8(one, other), high = _mm256_unpackhi_epi8(one, other);
        a = _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_unpacklo_epi8(low, zero), pair));
        b = _mm256_add_epi32(b, _mm256_madd_epi16(_mm256_unpackhi_epi8(low, zero), pair));
        c = _mm256_add_epi32(c, _mm256_madd_epi16(_mm256_unpacklo_epi8(high, zero), pair));
        d = _mm256_add_epi32(d, _mm256_madd_epi16(_mm256_unpackhi_epi8(high, zero), pair));
    }
    /* Each half of a vector was worked on by itself: values 0 to 15 lie in the low halves, 16 to 31 in the high ones. */
    __m256i low = _mm256_packs_epi32(_mm256_srli_epi32(a, ROWS_SHIFT), _mm256_srli_epi32(b, ROWS_SHIFT));
    __m256i high = _mm256_packs_epi32(_mm256_srli_epi32(c, ROWS_SHIFT), _mm256_srli_epi32(d, ROWS_SHIFT));
    _mm256_storeu_si256((__m256i *)row, _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256((__m256i *)(row + 16), _mm256_permute2x128_si256(low, high, 0x31));
}

__attribute__((target("avx2"))) static void rows_avx2(const uint8_t *pixels, size_t stride, const int16_t *weights,
                                                      uint32_t count, size_t values, uint16_t *row) {
    if (values < 32) {
        rows_sse2(pixels, stride, weights, count, values, row);
        return;
    }
    for (size_t x = 0; x + 32 < values; x += 32) {
        rows_avx2_at(pixels + x, stride, weights, count, row + x);
    }
    rows_avx2_at(pixels + values - 32, stride, weights, count, row + values - 32);
}
#endif

#ifdef WITH_NEON
/* Weigh 16 values of all rows. */
static void rows_neon_at(const uint8_t *pixels, size_t stride, const int16_t *weights, uint32_t count, uint16_t *row) {
    uint32x4_t a = vdupq_n_u32(ROWS_HALF), b = a, c = a, d = a;
    for (uint32_t k = 0; k < count; k++, pixels += stride) {
        uint16_t weight = (uint16_t)weights[k];
        uint8x16_t one = vld1q_u8(pixels);
        uint16x8_t low = vmovl_u8(vget_low_u8(one)), high = vmovl_u8(vget_high_u8(one));
        a = vmlal_n_u16(a, vget_low_u16(low), weight);
        b = vmlal_n_u16(b, vget_high_u16(low), weight);
        c = vmlal_n_u16(c, vget_low_u16(high), weight);
        d = vmlal_n_u16(d, vget_high_u16(high), weight);
    }
    vst1q_u16(row, vcombine_u16(vshrn_n_u32(a, ROWS_SHIFT), vshrn_n_u32(b, ROWS_SHIFT)));
    vst1q_u16(row + 8, vcombine_u16(vshrn_n_u32(c, ROWS_SHIFT), vshrn_n_u32(d, ROWS_SHIFT)));
}

static void rows_neon(const uint8_t *pixels, size_t stride, const int16_t *weights, uint32_t count, size_t values,
                      uint16_t *row) {
    if (values < 16) {
        rows_plain(pixels, stride, weights, count, 0, values, row);
        return;
    }
    for (size_t x = 0; x + 16 < values; x += 16) {
        rows_neon_at(pixels + x, stride, weights, count, row + x);
    }
    rows_neon_at(pixels + values - 16, stride, weights, count, row + values - 16); /* overlaps what was written before */
}

static void columns_neon(const uint16_t *row, const weckd_area_axis *across, uint8_t *out) {
    for (uint32_t x = 0; x < across->target; x++, out += 3) {
        const int16_t *weights = across->weights + (size_t)x * across->taps;
        const uint16_t *in = row + (size_t)across->first[x] * 3;
        uint32x4_t sum = vdupq_n_u32(COLUMNS_HALF);
        for (uint32_t k = 0; k < across->taps; k++, in += 3) {
            sum = vmlal_n_u16(sum, vld1_u16(in), (uint16_t)weights[k]); /* the fourth lane is the next pixel's red */
        }
        uint16x4_t levels = vmovn_u32(vshrq_n_u32(sum, COLUMNS_SHIFT));
        out[0] = (uint8_t)vget_lane_u16(levels, 0);
        out[1] = (uint8_t)vget_lane_u16(levels, 1);
        out[2] = (uint8_t)vget_lane_u16(levels, 2);
    }
}
#endif

bool weckd_area_has(weckd_area_code code) {
    switch (code) {
    case WECKD_AREA_PLAIN:
        return true;
    case WECKD_AREA_SSE2:
#ifdef WITH_SSE2
        return true;
#else
        return false;
#endif
    case WECKD_AREA_AVX2:
#ifdef WITH_SSE2
        return __builtin_cpu_supports("avx2") != 0;
#else
        return false;
#endif
    case WECKD_AREA_NEON:
#ifdef WITH_NEON
        return true;
#else
        return false;
#endif
    }
    return false;
}

weckd_area_code weckd_area_best(void) {
    static const weckd_area_code FASTEST_FIRST[] = {WECKD_AREA_AVX2, WECKD_AREA_SSE2, WECKD_AREA_NEON};
    for (size_t i = 0; i < sizeof FASTEST_FIRST / sizeof *FASTEST_FIRST; i++) {
        if (weckd_area_has(FASTEST_FIRST[i])) {
            return FASTEST_FIRST[i];
        }
    }
    return WECKD_AREA_PLAIN;
}

static void weigh_rows(weckd_area_code code, const uint8_t *pixels, size_t stride, const int16_t *weights, uint32_t count,
                       size_t values, uint16_t *row) {
    switch (code) {
#ifdef WITH_SSE2
    case WECKD_AREA_AVX2:
        rows_avx2(pixels, stride, weights, count, values, row);
        return;
    case WECKD_AREA_SSE2:
        rows_sse2(pixels, stride, weights, count, values, row);
        return;
#endif
#ifdef WITH_NEON
    case WECKD_AREA_NEON:
        rows_neon(pixels, stride, weights, count, values, row);
        return;
#endif
    default:
        rows_plain(pixels, stride, weights, count, 0, values, row);
    }
}

static void weigh_columns(weckd_area_code code, const uint16_t *row, const weckd_area_axis *across, uint8_t *out) {
    switch (code) {
#ifdef WITH_SSE2
    case WECKD_AREA_AVX2:
    case WECKD_AREA_SSE2:
        columns_sse2(row, across, out);
        return;
#endif
#ifdef WITH_NEON
    case WECKD_AREA_NEON:
        columns_neon(row, across, out);
        return;
#endif
    default:
        columns_plain(row, across, out);
    }
}

void weckd_area_resize(weckd_area_code code, const uint8_t *pixels, size_t stride, const weckd_area_axis *down,
                       const weckd_area_axis *across, uint16_t *row, uint8_t *out) {
    size_t values = (size_t)across->source * 3;
    memset(row + values, 0, ROW_SLACK * sizeof *row);
    for (uint32_t y = 0; y < down->target; y++) {
        weigh_rows(code, pixels + stride * down->first[y], stride, down->weights + (size_t)y * down->taps, rows_of(down, y),
                   values, row);
        weigh_columns(code, row, across, out + (size_t)y * across->target * 3);
    }
}
