/* Canonical base64. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_BASE64_H
#define WECKD_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decode a text; `out` has room for length / 4 * 3 bytes. false: it is not base64, or not the one way to write these bytes. */
bool weckd_base64_read(const char *text, size_t length, uint8_t *out, size_t *bytes);

#endif
