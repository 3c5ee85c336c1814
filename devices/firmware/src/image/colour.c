/* SPDX-License-Identifier: Apache-2.0 */
#include "image/colour.h"

#ifdef WECKD_BUILD_SSE2
#include <immintrin.h>
#endif
#ifdef WECKD_BUILD_NEON
#include <arm_neon.h>
#endif

/* Factors of a matrix, times 65536: luma's gain, then Cr into red, Cb and Cr into green, Cb into blue. */
typedef struct factors {
    int32_t light, red, green_blue, green_red, blue;
    int32_t black; /* luma of black */
} factors;

static const factors FACTORS[4] = {
    [WECKD_BT601_LIMITED] = {76309, 104597, -25675, -53279, 132201, 16},
    [WECKD_BT601_FULL] = {65536, 91881, -22553, -46802, 116130, 0},
    [WECKD_BT709_LIMITED] = {76309, 117489, -13975, -34925, 138438, 16},
    [WECKD_BT709_FULL] = {65536, 103206, -12276, -30679, 121609, 0},
};

static uint8_t rounded(int32_t sum) {
    int32_t value = (sum + 32768) >> 16;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Write pixels `x` to below `end` of a row; `rgb` is where pixel x goes. */
static void colour_plain(const factors *f, const weckd_chroma_row *row, uint32_t x, uint32_t end, uint8_t *rgb) {
    for (; x < end; x++, rgb += 3) {
        int32_t light = f->light * (row->luma[x * row->step] - f->black);
        int32_t blue = row->chroma[(x & ~1u) * row->step] - 128, red = row->chroma[(x | 1u) * row->step] - 128;
        rgb[0] = rounded(light + f->red * red);
        rgb[1] = rounded(light + f->green_blue * blue + f->green_red * red);
        rgb[2] = rounded(light + f->blue * blue);
    }
}

/* A factor is high * 65536 + low, and a sum of products is (sum of high) + (sum of low) / 65536: both parts have 16-bit factors. */
static int16_t low_of(int32_t factor) { return (int16_t)(uint16_t)((uint32_t)factor & 0xffff); }
static int16_t high_of(int32_t factor) { return (int16_t)((factor - low_of(factor)) / 65536); }

#define BLOCK 16 /* pixels of one vector */

#ifdef WECKD_BUILD_SSE2
#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i two(int16_t first, int16_t second) {
    return _mm256_set1_epi32((int32_t)((uint32_t)(uint16_t)first | (uint32_t)(uint16_t)second << 16));
}

/* Sums of 16 values in 32 bits: their low halves by four, and those above. */
typedef struct wide_sums {
    __m256i low, above;
} wide_sums;

AVX2 static inline wide_sums products(__m256i one, __m256i other, __m256i pair) {
    return (wide_sums){_mm256_madd_epi16(_mm256_unpacklo_epi16(one, other), pair),
                       _mm256_madd_epi16(_mm256_unpackhi_epi16(one, other), pair)};
}

/* Round products with the low parts of factors, and add those with the high parts. */
AVX2 static inline __m256i with_high(wide_sums low, __m256i high) {
    const __m256i half = _mm256_set1_epi32(32768);
    return _mm256_add_epi16(high, _mm256_packs_epi32(_mm256_srai_epi32(_mm256_add_epi32(low.low, half), 16),
                                                     _mm256_srai_epi32(_mm256_add_epi32(low.above, half), 16)));
}

/* Clip 16 values to bytes. */
AVX2 static inline __m128i bytes_of(__m256i values) {
    return _mm_packus_epi16(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
}

/* Byte 16 * part + i of 16 pixels is byte PLACES[colour][part][i] of that colour's plane; -1: of another plane. */
static const int8_t PLACES[3][3][16] = {
    {{0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5},
     {-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1},
     {-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1}},
    {{-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1},
     {5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10},
     {-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1}},
    {{-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1},
     {-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1},
     {10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15}},
};

/* Write 16 pixels from their planes. */
AVX2 static inline void interleave(const __m128i planes[3], uint8_t *rgb) {
    for (int part = 0; part < 3; part++) {
        __m128i mixed = _mm_setzero_si128();
        for (int colour = 0; colour < 3; colour++) {
            __m128i places = _mm_loadu_si128((const __m128i *)PLACES[colour][part]);
            mixed = _mm_or_si128(mixed, _mm_shuffle_epi8(planes[colour], places));
        }
        _mm_storeu_si128((__m128i *)(rgb + BLOCK * part), mixed);
    }
}

/* Write 16 pixels from their luma and from their pairs of Cb and Cr by turns, 16 bits each. */
AVX2 static inline void colour_avx2_at(const factors *f, __m256i luma, __m256i pairs, uint8_t *rgb) {
    __m256i light = _mm256_sub_epi16(luma, _mm256_set1_epi16((int16_t)f->black));
    pairs = _mm256_sub_epi16(pairs, _mm256_set1_epi16(128));
    __m256i blue = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(pairs, 0xa0), 0xa0); /* each Cb twice */
    __m256i red = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(pairs, 0xf5), 0xf5);
    __m256i whole = _mm256_mullo_epi16(light, _mm256_set1_epi16(high_of(f->light)));
    __m256i high[3] = {
        _mm256_mullo_epi16(red, _mm256_set1_epi16(high_of(f->red))),
        _mm256_add_epi16(_mm256_mullo_epi16(blue, _mm256_set1_epi16(high_of(f->green_blue))),
                         _mm256_mullo_epi16(red, _mm256_set1_epi16(high_of(f->green_red)))),
        _mm256_mullo_epi16(blue, _mm256_set1_epi16(high_of(f->blue))),
    };
    int16_t low = low_of(f->light);
    wide_sums green = products(light, blue, two(low, low_of(f->green_blue)));
    wide_sums green_red = products(red, red, two(low_of(f->green_red), 0));
    green.low = _mm256_add_epi32(green.low, green_red.low);
    green.above = _mm256_add_epi32(green.above, green_red.above);
    const __m128i planes[3] = {
        bytes_of(with_high(products(light, red, two(low, low_of(f->red))), _mm256_add_epi16(whole, high[0]))),
        bytes_of(with_high(green, _mm256_add_epi16(whole, high[1]))),
        bytes_of(with_high(products(light, blue, two(low, low_of(f->blue))), _mm256_add_epi16(whole, high[2]))),
    };
    interleave(planes, rgb);
}

AVX2 static void colour_avx2(const factors *f, const weckd_chroma_row *row, uint32_t x, uint32_t end, uint8_t *rgb) {
    for (; x < end; x += BLOCK, rgb += 3 * BLOCK) {
        __m256i luma, pairs;
        if (row->step == 1) {
            luma = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(row->luma + x)));
            pairs = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(row->chroma + x)));
        } else {
            __m256i both = _mm256_loadu_si256((const __m256i *)(row->luma + (size_t)x * 2));
            luma = _mm256_and_si256(both, _mm256_set1_epi16(0xff));
            pairs = _mm256_srli_epi16(both, 8);
        }
        colour_avx2_at(f, luma, pairs, rgb);
    }
}

AVX2 static void grey_avx2(const uint8_t *grey, uint32_t count, uint8_t *rgb) {
    for (uint32_t x = 0; x < count; x += BLOCK) {
        __m128i level = _mm_loadu_si128((const __m128i *)(grey + x));
        interleave((const __m128i[3]){level, level, level}, rgb + (size_t)x * 3);
    }
}
#endif

#ifdef WECKD_BUILD_NEON
/* Clip 8 sums of luma and chroma, whose low parts are shifted down and rounded, to bytes. */
static uint8x8_t bytes_neon(int16x8_t high, int32x4_t low, int32x4_t above) {
    return vqmovun_s16(vaddq_s16(high, vcombine_s16(vrshrn_n_s32(low, 16), vrshrn_n_s32(above, 16))));
}

/* Make 8 pixels from their luma and chroma, 16 bits each. */
static uint8x8x3_t colour_neon_at(const factors *f, int16x8_t light, int16x8_t blue, int16x8_t red) {
    int16x8_t whole = vmulq_n_s16(light, high_of(f->light));
    int32x4_t low = vmull_n_s16(vget_low_s16(light), low_of(f->light)), above = vmull_n_s16(vget_high_s16(light), low_of(f->light));
    int16x4_t blue_low = vget_low_s16(blue), blue_above = vget_high_s16(blue);
    int16x4_t red_low = vget_low_s16(red), red_above = vget_high_s16(red);
    uint8x8x3_t pixels;
    pixels.val[0] = bytes_neon(vmlaq_n_s16(whole, red, high_of(f->red)), vmlal_n_s16(low, red_low, low_of(f->red)),
                               vmlal_n_s16(above, red_above, low_of(f->red)));
    pixels.val[1] = bytes_neon(vmlaq_n_s16(vmlaq_n_s16(whole, blue, high_of(f->green_blue)), red, high_of(f->green_red)),
                               vmlal_n_s16(vmlal_n_s16(low, blue_low, low_of(f->green_blue)), red_low, low_of(f->green_red)),
                               vmlal_n_s16(vmlal_n_s16(above, blue_above, low_of(f->green_blue)), red_above, low_of(f->green_red)));
    pixels.val[2] = bytes_neon(vmlaq_n_s16(whole, blue, high_of(f->blue)), vmlal_n_s16(low, blue_low, low_of(f->blue)),
                               vmlal_n_s16(above, blue_above, low_of(f->blue)));
    return pixels;
}

/* Widen 8 bytes and take a level off each. */
static int16x8_t less_neon(uint8x8_t bytes, int32_t level) {
    return vsubq_s16(vreinterpretq_s16_u16(vmovl_u8(bytes)), vdupq_n_s16((int16_t)level));
}

/* Write 16 pixels from an even pixel on. */
static void colour_neon_block(const factors *f, const weckd_chroma_row *row, uint32_t x, uint8_t *rgb) {
    uint8x8x2_t luma, pairs; /* luma of even and of odd pixels; Cb and Cr */
    if (row->step == 1) {
        luma = vld2_u8(row->luma + x);
        pairs = vld2_u8(row->chroma + x);
    } else {
        uint8x8x4_t both = vld4_u8(row->luma + (size_t)x * 2);
        luma.val[0] = both.val[0];
        luma.val[1] = both.val[2];
        pairs.val[0] = both.val[1];
        pairs.val[1] = both.val[3];
    }
    int16x8_t blue = less_neon(pairs.val[0], 128), red = less_neon(pairs.val[1], 128);
    uint8x8x3_t even = colour_neon_at(f, less_neon(luma.val[0], f->black), blue, red);
    uint8x8x3_t odd = colour_neon_at(f, less_neon(luma.val[1], f->black), blue, red);
    uint8x16x3_t pixels;
    for (int c = 0; c < 3; c++) {
        uint8x8x2_t zipped = vzip_u8(even.val[c], odd.val[c]);
        pixels.val[c] = vcombine_u8(zipped.val[0], zipped.val[1]);
    }
    vst3q_u8(rgb, pixels);
}

static void colour_neon(const factors *f, const weckd_chroma_row *row, uint32_t x, uint32_t end, uint8_t *rgb) {
    for (; x < end; x += BLOCK, rgb += 3 * BLOCK) {
        colour_neon_block(f, row, x, rgb);
    }
}

static void grey_neon(const uint8_t *grey, uint32_t count, uint8_t *rgb) {
    for (uint32_t x = 0; x < count; x += BLOCK) {
        uint8x16_t level = vld1q_u8(grey + x);
        vst3q_u8(rgb + (size_t)x * 3, (uint8x16x3_t){{level, level, level}});
    }
}
#endif

/* Write whole blocks of pixels, from even pixel `x` to below `end`. */
static void colour_blocks(weckd_instructions instructions, const factors *f, const weckd_chroma_row *row, uint32_t x, uint32_t end,
                          uint8_t *rgb) {
    switch (instructions) {
#ifdef WECKD_BUILD_SSE2
    case WECKD_AVX2:
        colour_avx2(f, row, x, end, rgb);
        return;
#endif
#ifdef WECKD_BUILD_NEON
    case WECKD_NEON:
        colour_neon(f, row, x, end, rgb);
        return;
#endif
    default:
        colour_plain(f, row, x, end, rgb);
    }
}

void weckd_colour_row(weckd_instructions instructions, weckd_matrix matrix, const weckd_chroma_row *row, uint32_t left,
                      uint32_t width, uint8_t *rgb) {
    const factors *f = &FACTORS[matrix];
    uint32_t first = left + (left & 1u), end = left + width; /* blocks begin with a pair */
    if (end < first + BLOCK) {
        colour_plain(f, row, left, end, rgb);
        return;
    }
    uint32_t whole = first + (end - first) / BLOCK * BLOCK, last = (end - BLOCK) & ~1u;
    colour_plain(f, row, left, first, rgb);
    colour_blocks(instructions, f, row, first, whole, rgb + (size_t)(first - left) * 3);
    colour_blocks(instructions, f, row, last, last + BLOCK, rgb + (size_t)(last - left) * 3); /* overlaps what was written before */
    colour_plain(f, row, last + BLOCK, end, rgb + (size_t)(last + BLOCK - left) * 3);
}

static void grey_plain(const uint8_t *grey, uint32_t count, uint8_t *rgb) {
    for (size_t x = 0; x < count; x++) {
        rgb[3 * x] = rgb[3 * x + 1] = rgb[3 * x + 2] = grey[x];
    }
}

static void grey_blocks(weckd_instructions instructions, const uint8_t *grey, uint32_t count, uint8_t *rgb) {
    switch (instructions) {
#ifdef WECKD_BUILD_SSE2
    case WECKD_AVX2:
        grey_avx2(grey, count, rgb);
        return;
#endif
#ifdef WECKD_BUILD_NEON
    case WECKD_NEON:
        grey_neon(grey, count, rgb);
        return;
#endif
    default:
        grey_plain(grey, count, rgb);
    }
}

void weckd_grey_row(weckd_instructions instructions, const uint8_t *grey, uint32_t width, uint8_t *rgb) {
    if (width < BLOCK) {
        grey_plain(grey, width, rgb);
        return;
    }
    uint32_t last = width - BLOCK;
    grey_blocks(instructions, grey, width / BLOCK * BLOCK, rgb);
    grey_blocks(instructions, grey + last, BLOCK, rgb + (size_t)last * 3);
}
