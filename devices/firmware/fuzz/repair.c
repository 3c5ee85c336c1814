/* SPDX-License-Identifier: Apache-2.0 */
#include "repair.h"

#include "core/digest.h"

#include <stdio.h>
#include <string.h>

void hex_of(const void *data, size_t bytes, char hex[65]) {
    uint8_t digest[WECKD_SHA256_BYTES];
    weckd_hash hash;
    weckd_hash_start(&hash);
    weckd_hash_add(&hash, data, bytes);
    weckd_hash_end(&hash, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
}

void repair_digest(char *text, size_t bytes) {
    static const char key[] = "\"manifest_sha256\": \"";
    char *place = memmem(text, bytes, key, sizeof key - 1);
    if (place == NULL || (size_t)(text + bytes - place) < sizeof key - 1 + 64) {
        return;
    }
    char hex[65];
    memset(place + sizeof key - 1, '0', 64);
    hex_of(text, bytes, hex);
    memcpy(place + sizeof key - 1, hex, 64);
}
