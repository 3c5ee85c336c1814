/* Puts the right digest into a fuzzed manifest, so that the code behind that check is reached. SPDX-License-Identifier: Apache-2.0 */
#ifndef REPAIR_H
#define REPAIR_H

#include <stddef.h>
#include <stdint.h>

/* Write the digest of a manifest into it, where it has a place for one. */
void repair_digest(char *text, size_t bytes);

/* 64 hexadecimal digits and a NUL. */
void hex_of(const void *data, size_t bytes, char hex[65]);

#endif
