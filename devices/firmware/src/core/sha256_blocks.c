/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sha256_blocks.h"

#include "core/instructions.h"

#if defined(WECKD_BUILD_SSE2)
#include <cpuid.h>
#include <immintrin.h>
#define HAVE_ROUNDS __attribute__((target("sha,ssse3,sse4.1")))
#elif defined(WECKD_BUILD_NEON) && defined(__aarch64__) && (defined(__ARM_FEATURE_SHA2) || !defined(__clang__))
#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#ifdef __ARM_FEATURE_SHA2
#define HAVE_ROUNDS
#else
#define HAVE_ROUNDS __attribute__((target("+crypto"))) /* clang has no such functions unless the whole build is for them */
#endif
#endif

#ifdef HAVE_ROUNDS

/* FIPS 180-4, 4.2.2. */
static const uint32_t CONSTANTS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#endif

#if defined(HAVE_ROUNDS) && defined(WECKD_BUILD_SSE2)

typedef __m128i four_words;

/* The instructions want words a, b, e, f of a state in one vector and c, d, g, h in the other. A vector's name begins with its top. */
typedef struct halves {
    __m128i abef, cdgh;
} halves;

bool weckd_sha256_has_instructions(void) {
    unsigned eax, ebx, ecx, edx;
    return __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 &&
           (ebx & 1u << 29) != 0;
}

HAVE_ROUNDS static inline halves four_rounds(halves state, four_words words, const uint32_t *constants) {
    __m128i sums = _mm_add_epi32(words, _mm_loadu_si128((const __m128i *)constants));
    __m128i abef = _mm_sha256rnds2_epu32(state.cdgh, state.abef, sums);
    return (halves){_mm_sha256rnds2_epu32(state.abef, abef, _mm_shuffle_epi32(sums, 0x0e)), abef};
}

/* Return the four words that follow sixteen. */
HAVE_ROUNDS static inline four_words next_words(four_words first, four_words second, four_words third, four_words fourth) {
    __m128i sums = _mm_add_epi32(_mm_sha256msg1_epu32(first, second), _mm_alignr_epi8(fourth, third, 4));
    return _mm_sha256msg2_epu32(sums, fourth);
}

HAVE_ROUNDS static inline four_words read_words(const uint8_t *data) {
    const __m128i big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)data), big_endian);
}

HAVE_ROUNDS static inline halves sum_of(halves one, halves other) {
    return (halves){_mm_add_epi32(one.abef, other.abef), _mm_add_epi32(one.cdgh, other.cdgh)};
}

HAVE_ROUNDS static inline halves read_state(const uint32_t state[WECKD_SHA256_WORDS]) {
    __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b);
    return (halves){_mm_alignr_epi8(cdab, efgh, 8), _mm_blend_epi16(efgh, cdab, 0xf0)};
}

HAVE_ROUNDS static inline void write_state(halves from, uint32_t state[WECKD_SHA256_WORDS]) {
    __m128i feba = _mm_shuffle_epi32(from.abef, 0x1b), dchg = _mm_shuffle_epi32(from.cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

#elif defined(HAVE_ROUNDS)

typedef uint32x4_t four_words;

typedef struct halves {
    uint32x4_t abcd, efgh;
} halves;

bool weckd_sha256_has_instructions(void) { return (getauxval(AT_HWCAP) & HWCAP_SHA2) != 0; }

HAVE_ROUNDS static inline halves four_rounds(halves state, four_words words, const uint32_t *constants) {
    uint32x4_t sums = vaddq_u32(words, vld1q_u32(constants));
    return (halves){vsha256hq_u32(state.abcd, state.efgh, sums), vsha256h2q_u32(state.efgh, state.abcd, sums)};
}

/* Return the four words that follow sixteen. */
HAVE_ROUNDS static inline four_words next_words(four_words first, four_words second, four_words third, four_words fourth) {
    return vsha256su1q_u32(vsha256su0q_u32(first, second), third, fourth);
}

HAVE_ROUNDS static inline four_words read_words(const uint8_t *data) { return vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data))); }

HAVE_ROUNDS static inline halves sum_of(halves one, halves other) {
    return (halves){vaddq_u32(one.abcd, other.abcd), vaddq_u32(one.efgh, other.efgh)};
}

HAVE_ROUNDS static inline halves read_state(const uint32_t state[WECKD_SHA256_WORDS]) {
    return (halves){vld1q_u32(state), vld1q_u32(state + 4)};
}

HAVE_ROUNDS static inline void write_state(halves from, uint32_t state[WECKD_SHA256_WORDS]) {
    vst1q_u32(state, from.abcd);
    vst1q_u32(state + 4, from.efgh);
}

#endif

#ifdef HAVE_ROUNDS

HAVE_ROUNDS void weckd_sha256_add_blocks(uint32_t state[WECKD_SHA256_WORDS], const uint8_t *data, size_t blocks) {
    halves sum = read_state(state);
    for (; blocks > 0; blocks--, data += WECKD_SHA256_BLOCK_BYTES) {
        halves mixed = sum;
        four_words w0 = read_words(data), w1 = read_words(data + 16), w2 = read_words(data + 32), w3 = read_words(data + 48);
        for (const uint32_t *constants = CONSTANTS;; constants += 16) {
            mixed = four_rounds(mixed, w0, constants);
            mixed = four_rounds(mixed, w1, constants + 4);
            mixed = four_rounds(mixed, w2, constants + 8);
            mixed = four_rounds(mixed, w3, constants + 12);
            if (constants == CONSTANTS + 48) {
                break;
            }
            w0 = next_words(w0, w1, w2, w3);
            w1 = next_words(w1, w2, w3, w0);
            w2 = next_words(w2, w3, w0, w1);
            w3 = next_words(w3, w0, w1, w2);
        }
        sum = sum_of(sum, mixed);
    }
    write_state(sum, state);
}

#else

bool weckd_sha256_has_instructions(void) { return false; }

void weckd_sha256_add_blocks(uint32_t state[WECKD_SHA256_WORDS], const uint8_t *data, size_t blocks) {
    (void)state, (void)data, (void)blocks; /* never called: there are no instructions for it */
}

#endif
