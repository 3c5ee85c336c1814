/* SPDX-License-Identifier: Apache-2.0 */
#include "core/digest.h"

#include <mbedtls/version.h>

#if MBEDTLS_VERSION_MAJOR < 3
#define starts(context) mbedtls_sha256_starts_ret(context, 0)
#define update mbedtls_sha256_update_ret
#define finish mbedtls_sha256_finish_ret
#else
#define starts(context) mbedtls_sha256_starts(context, 0)
#define update mbedtls_sha256_update
#define finish mbedtls_sha256_finish
#endif

/* In software these calls cannot fail; an accelerator's failure would leave a digest that matches nothing. */

void weckd_hash_start(weckd_hash *hash) {
    mbedtls_sha256_init(&hash->context);
    (void)starts(&hash->context);
}

void weckd_hash_add(weckd_hash *hash, const void *data, size_t bytes) { (void)update(&hash->context, data, bytes); }

void weckd_hash_end(weckd_hash *hash, uint8_t digest[WECKD_SHA256_BYTES]) {
    for (size_t i = 0; i < WECKD_SHA256_BYTES; i++) {
        digest[i] = 0;
    }
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
