/* SHA-256 and its hexadecimal form. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_DIGEST_H
#define WECKD_DIGEST_H

#include "core/sha256_blocks.h"

#include <mbedtls/sha256.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WECKD_SHA256_BYTES 32

/* A sum that is begun: by the processor's own instructions where it has them, else by Mbed TLS. */
typedef struct weckd_hash {
    bool by_instructions;
    union {
        mbedtls_sha256_context context;
        struct {
            uint32_t state[WECKD_SHA256_WORDS];
            uint64_t bytes;                         /* that were added */
            uint8_t rest[WECKD_SHA256_BLOCK_BYTES]; /* the last of them that make no whole block */
        };
    };
} weckd_hash;

void weckd_hash_start(weckd_hash *hash);
void weckd_hash_start_by(weckd_hash *hash, bool by_instructions); /* for tests: weckd_hash_start() takes the fastest */
void weckd_hash_add(weckd_hash *hash, const void *data, size_t bytes);
void weckd_hash_end(weckd_hash *hash, uint8_t digest[WECKD_SHA256_BYTES]);

/* Read 64 lower-case hexadecimal digits; false: something else. */
bool weckd_hex_read(const char *text, size_t length, uint8_t digest[WECKD_SHA256_BYTES]);

#endif
