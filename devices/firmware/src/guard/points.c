/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/points.h"

#include <string.h>

#ifdef WECKD_BUILD_SSE2
#include <immintrin.h>
#endif
#ifdef WECKD_BUILD_NEON
#include <arm_neon.h>
#endif

#define GRID WECKD_GUARD_GRID
#define RED 77 /* weights of the luminance, in 256ths */
#define GREEN 150
#define BLUE 29
#define HALF 128

/* Return which of a pixel's bytes is the channel: red, green, blue. */
static int byte_of(int channel, bool is_bgr) { return is_bgr ? 2 - channel : channel; }

static int16_t luminance_of(const uint8_t *pixel, bool is_bgr) {
    int red = pixel[byte_of(0, is_bgr)], blue = pixel[byte_of(2, is_bgr)];
    return (int16_t)((RED * red + GREEN * pixel[1] + BLUE * blue + HALF) >> 8);
}

static void read_plain(const weckd_three_rows *rows, const uint32_t *columns, uint32_t to, weckd_points *points) {
    bool is_bgr = rows->is_bgr;
    for (int j = 0; j < GRID; j++) {
        size_t place = (size_t)columns[j] * 3;
        for (int c = 0; c < 3; c++) {
            points->colour[c][to][j] = rows->at[place + (size_t)byte_of(c, is_bgr)];
        }
        points->light[to][j] = luminance_of(rows->at + place, is_bgr);
        points->above[to][j] = luminance_of(rows->above + place, is_bgr);
        points->below[to][j] = luminance_of(rows->below + place, is_bgr);
        points->before[to][j] = luminance_of(rows->at + place - 3, is_bgr);
        points->after[to][j] = luminance_of(rows->at + place + 3, is_bgr);
    }
}

#if defined(WECKD_BUILD_SSE2) || defined(WECKD_BUILD_NEON)
/* Pixels of one row of points, four bytes each: any byte, then the pixel. */
typedef struct packed_points {
    uint32_t at[GRID], above[GRID], below[GRID], before[GRID], after[GRID];
} packed_points;

static uint32_t four_bytes(const uint8_t *bytes) {
    uint32_t four;
    memcpy(&four, bytes, sizeof four);
    return four;
}

/* Copy the pixels of a row of points; no byte outside the rows is read, as each point has a pixel before it. */
static void pack(const weckd_three_rows *rows, const uint32_t *columns, packed_points *packed) {
    for (int j = 0; j < GRID; j++) {
        size_t place = (size_t)columns[j] * 3 - 1;
        packed->at[j] = four_bytes(rows->at + place);
        packed->above[j] = four_bytes(rows->above + place);
        packed->below[j] = four_bytes(rows->below + place);
        packed->before[j] = four_bytes(rows->at + place - 2) << 8; /* little-endian: red becomes the second byte */
        packed->after[j] = four_bytes(rows->at + place + 3);
    }
}
#endif

#ifdef WECKD_BUILD_SSE2
/* Return how much the pixel's first and last byte weigh. */
static int weights_of(bool is_bgr) { return is_bgr ? RED << 16 | BLUE : BLUE << 16 | RED; }

static __m128i light_of_4(__m128i pixels, __m128i weights) {
    __m128i green = _mm_madd_epi16(_mm_and_si128(pixels, _mm_set1_epi32(0x00ff00ff)), _mm_set1_epi32(GREEN << 16));
    __m128i others = _mm_madd_epi16(_mm_srli_epi16(pixels, 8), weights);
    return _mm_srli_epi32(_mm_add_epi32(_mm_add_epi32(green, others), _mm_set1_epi32(HALF)), 8);
}

static void light_sse2(const uint32_t packed[GRID], __m128i weights, int16_t light[GRID]) {
    for (int j = 0; j < GRID; j += 8) {
        __m128i low = light_of_4(_mm_loadu_si128((const __m128i *)(packed + j)), weights);
        __m128i high = light_of_4(_mm_loadu_si128((const __m128i *)(packed + j + 4)), weights);
        _mm_storeu_si128((__m128i *)(light + j), _mm_packs_epi32(low, high));
    }
}

static void read_sse2(const packed_points *packed, bool is_bgr, uint32_t to, weckd_points *points) {
    const __m128i weights = _mm_set1_epi32(weights_of(is_bgr));
    const __m128i byte = _mm_set1_epi32(0xff);
    light_sse2(packed->at, weights, points->light[to]);
    light_sse2(packed->above, weights, points->above[to]);
    light_sse2(packed->below, weights, points->below[to]);
    light_sse2(packed->before, weights, points->before[to]);
    light_sse2(packed->after, weights, points->after[to]);
    for (int j = 0; j < GRID; j += 8) {
        __m128i low = _mm_loadu_si128((const __m128i *)(packed->at + j));
        __m128i high = _mm_loadu_si128((const __m128i *)(packed->at + j + 4));
        for (int c = 0; c < 3; c++) {
            low = _mm_srli_epi32(low, 8);
            high = _mm_srli_epi32(high, 8);
            __m128i both = _mm_packs_epi32(_mm_and_si128(low, byte), _mm_and_si128(high, byte));
            _mm_storeu_si128((__m128i *)(points->colour[byte_of(c, is_bgr)][to] + j), both);
        }
    }
}

#define AVX2 __attribute__((target("avx2")))

/* Pack two vectors of 8 numbers to one of 16; each half of a vector was worked on by itself. */
AVX2 static __m256i pack_16(__m256i low, __m256i high) {
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
}

AVX2 static __m256i light_of_8(__m256i pixels, __m256i weights) {
    __m256i green = _mm256_madd_epi16(_mm256_and_si256(pixels, _mm256_set1_epi32(0x00ff00ff)), _mm256_set1_epi32(GREEN << 16));
    __m256i others = _mm256_madd_epi16(_mm256_srli_epi16(pixels, 8), weights);
    return _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(green, others), _mm256_set1_epi32(HALF)), 8);
}

AVX2 static void light_avx2(const uint32_t packed[GRID], __m256i weights, int16_t light[GRID]) {
    for (int j = 0; j < GRID; j += 16) {
        __m256i low = light_of_8(_mm256_loadu_si256((const __m256i *)(packed + j)), weights);
        __m256i high = light_of_8(_mm256_loadu_si256((const __m256i *)(packed + j + 8)), weights);
        _mm256_storeu_si256((__m256i *)(light + j), pack_16(low, high));
    }
}

AVX2 static void read_avx2(const packed_points *packed, bool is_bgr, uint32_t to, weckd_points *points) {
    const __m256i weights = _mm256_set1_epi32(weights_of(is_bgr));
    const __m256i byte = _mm256_set1_epi32(0xff);
    light_avx2(packed->at, weights, points->light[to]);
    light_avx2(packed->above, weights, points->above[to]);
    light_avx2(packed->below, weights, points->below[to]);
    light_avx2(packed->before, weights, points->before[to]);
    light_avx2(packed->after, weights, points->after[to]);
    for (int j = 0; j < GRID; j += 16) {
        __m256i low = _mm256_loadu_si256((const __m256i *)(packed->at + j));
        __m256i high = _mm256_loadu_si256((const __m256i *)(packed->at + j + 8));
        for (int c = 0; c < 3; c++) {
            low = _mm256_srli_epi32(low, 8);
            high = _mm256_srli_epi32(high, 8);
            __m256i both = pack_16(_mm256_and_si256(low, byte), _mm256_and_si256(high, byte));
            _mm256_storeu_si256((__m256i *)(points->colour[byte_of(c, is_bgr)][to] + j), both);
        }
    }
}
#endif

#ifdef WECKD_BUILD_NEON
static void store_bytes(int16_t *to, uint8x8_t bytes) { vst1q_s16(to, vreinterpretq_s16_u16(vmovl_u8(bytes))); }

/* Return the pixels of 8 points byte by byte: any byte, then the pixel. */
static uint8x8x4_t load_8(const uint32_t *packed) { return vld4_u8((const uint8_t *)packed); }

static uint8x8_t light_of_8(uint8x8x4_t pixels, bool is_bgr) {
    uint16x8_t sum = vmull_u8(pixels.val[1 + byte_of(0, is_bgr)], vdup_n_u8(RED));
    sum = vmlal_u8(sum, pixels.val[2], vdup_n_u8(GREEN));
    return vrshrn_n_u16(vmlal_u8(sum, pixels.val[1 + byte_of(2, is_bgr)], vdup_n_u8(BLUE)), 8);
}

static void read_neon(const packed_points *packed, bool is_bgr, uint32_t to, weckd_points *points) {
    for (int j = 0; j < GRID; j += 8) {
        uint8x8x4_t at = load_8(packed->at + j);
        for (int c = 0; c < 3; c++) {
            store_bytes(points->colour[c][to] + j, at.val[1 + byte_of(c, is_bgr)]);
        }
        store_bytes(points->light[to] + j, light_of_8(at, is_bgr));
        store_bytes(points->above[to] + j, light_of_8(load_8(packed->above + j), is_bgr));
        store_bytes(points->below[to] + j, light_of_8(load_8(packed->below + j), is_bgr));
        store_bytes(points->before[to] + j, light_of_8(load_8(packed->before + j), is_bgr));
        store_bytes(points->after[to] + j, light_of_8(load_8(packed->after + j), is_bgr));
    }
}
#endif

void weckd_read_points(weckd_instructions instructions, const weckd_three_rows *rows, const uint32_t columns[GRID], uint32_t to,
                       weckd_points *points) {
#if defined(WECKD_BUILD_SSE2) || defined(WECKD_BUILD_NEON)
    packed_points packed;
    if (instructions != WECKD_PLAIN) {
        pack(rows, columns, &packed);
    }
#endif
    switch (instructions) {
#ifdef WECKD_BUILD_SSE2
    case WECKD_AVX2:
        read_avx2(&packed, rows->is_bgr, to, points);
        return;
    case WECKD_SSE2:
        read_sse2(&packed, rows->is_bgr, to, points);
        return;
#endif
#ifdef WECKD_BUILD_NEON
    case WECKD_NEON:
        read_neon(&packed, rows->is_bgr, to, points);
        return;
#endif
    default:
        read_plain(rows, columns, to, points);
    }
}
