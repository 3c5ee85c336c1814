/* SHA-256 and its hexadecimal form. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_DIGEST_H
#define WECKD_DIGEST_H

#include <mbedtls/sha256.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WECKD_SHA256_BYTES 32

typedef struct weckd_hash {
    mbedtls_sha256_context context;
} weckd_hash;

void weckd_hash_start(weckd_hash *hash);
void weckd_hash_add(weckd_hash *hash, const void *data, size_t bytes);
void weckd_hash_end(weckd_hash *hash, uint8_t digest[WECKD_SHA256_BYTES]);

/* Read 64 lower-case hexadecimal digits; false: something else. */
bool weckd_hex_read(const char *text, size_t length, uint8_t digest[WECKD_SHA256_BYTES]);

#endif
