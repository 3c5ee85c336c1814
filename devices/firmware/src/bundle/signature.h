/* The signature over manifest.json: an OpenSSF model signing bundle, checked offline. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_SIGNATURE_H
#define WECKD_SIGNATURE_H

#include "core/digest.h"
#include "core/errors.h"

/* Check that the owner of a key signed a manifest with this SHA-256.
 *
 * signature, bytes: the file `signature`.
 * public_key_pem: PEM text of a key on P-256, P-384 or P-521.
 */
int weckd_signature_check(const char *signature, size_t bytes, const char *public_key_pem,
                          const uint8_t manifest_sha256[WECKD_SHA256_BYTES], weckd_error error);

#endif
