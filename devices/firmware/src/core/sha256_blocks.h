/* The rounds of SHA-256 in the processor's own instructions: FIPS 180-4, 6.2.2. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_SHA256_BLOCKS_H
#define WECKD_SHA256_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WECKD_SHA256_BLOCK_BYTES 64
#define WECKD_SHA256_WORDS 8

/* Tell whether this build and this processor have instructions for SHA-256: those of x86 and of 64-bit Arm. */
bool weckd_sha256_has_instructions(void);

/* Add whole blocks to a state, by instructions that weckd_sha256_has_instructions() has told of. */
void weckd_sha256_add_blocks(uint32_t state[WECKD_SHA256_WORDS], const uint8_t *data, size_t blocks);

#endif
