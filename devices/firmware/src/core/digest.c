/* SPDX-License-Identifier: Apache-2.0 */
#include "core/digest.h"

#include <mbedtls/version.h>
#include <string.h>

#if MBEDTLS_VERSION_MAJOR < 3
#define starts(context) mbedtls_sha256_starts_ret(context, 0)
#define update mbedtls_sha256_update_ret
#define finish mbedtls_sha256_finish_ret
#else
#define starts(context) mbedtls_sha256_starts(context, 0)
#define update mbedtls_sha256_update
#define finish mbedtls_sha256_finish
#endif

/* FIPS 180-4, 5.3.3. */
static const uint32_t FIRST_STATE[WECKD_SHA256_WORDS] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

void weckd_hash_start(weckd_hash *hash) { weckd_hash_start_by(hash, weckd_sha256_has_instructions()); }

/* In software Mbed TLS's calls cannot fail; an accelerator's failure would leave a digest that matches nothing. */

void weckd_hash_start_by(weckd_hash *hash, bool by_instructions) {
    hash->by_instructions = by_instructions;
    if (by_instructions) {
        memcpy(hash->state, FIRST_STATE, sizeof hash->state);
        hash->bytes = 0;
    } else {
        mbedtls_sha256_init(&hash->context);
        (void)starts(&hash->context);
    }
}

static void add_by_instructions(weckd_hash *hash, const uint8_t *data, size_t bytes) {
    size_t kept = (size_t)(hash->bytes % sizeof hash->rest);
    hash->bytes += bytes;
    if (kept > 0 && bytes > 0) {
        size_t taken = sizeof hash->rest - kept < bytes ? sizeof hash->rest - kept : bytes;
        memcpy(hash->rest + kept, data, taken);
        data += taken;
        bytes -= taken;
        if (kept + taken < sizeof hash->rest) {
            return;
        }
        weckd_sha256_add_blocks(hash->state, hash->rest, 1);
    }
    size_t blocks = bytes / sizeof hash->rest, whole = blocks * sizeof hash->rest;
    if (blocks > 0) {
        weckd_sha256_add_blocks(hash->state, data, blocks);
    }
    if (bytes > whole) {
        memcpy(hash->rest, data + whole, bytes - whole);
    }
}

void weckd_hash_add(weckd_hash *hash, const void *data, size_t bytes) {
    if (hash->by_instructions) {
        add_by_instructions(hash, data, bytes);
    } else {
        (void)update(&hash->context, data, bytes);
    }
}

/* A bit of one, zeros, and the number of bits in 8 bytes fill the last block: FIPS 180-4, 5.1.1. */
static void end_by_instructions(weckd_hash *hash, uint8_t digest[WECKD_SHA256_BYTES]) {
    uint8_t end[2 * WECKD_SHA256_BLOCK_BYTES] = {0x80};
    size_t kept = (size_t)(hash->bytes % sizeof hash->rest);
    size_t length = (kept < sizeof hash->rest - 8 ? sizeof hash->rest : sizeof end) - kept;
    for (size_t i = 0; i < 8; i++) {
        end[length - 1 - i] = (uint8_t)(hash->bytes * 8 >> 8 * i);
    }
    add_by_instructions(hash, end, length);
    for (size_t i = 0; i < WECKD_SHA256_BYTES; i++) {
        digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
    }
}

void weckd_hash_end(weckd_hash *hash, uint8_t digest[WECKD_SHA256_BYTES]) {
    if (hash->by_instructions) {
        end_by_instructions(hash, digest);
        return;
    }
    memset(digest, 0, WECKD_SHA256_BYTES);
    (void)finish(&hash->context, digest);
    mbedtls_sha256_free(&hash->context);
}

static int nibble(char digit) {
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool weckd_hex_read(const char *text, size_t length, uint8_t digest[WECKD_SHA256_BYTES]) {
    if (length != 2 * WECKD_SHA256_BYTES) {
        return false;
    }
    for (size_t i = 0; i < WECKD_SHA256_BYTES; i++) {
        int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        digest[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
