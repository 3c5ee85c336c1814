/* Limits of this library; a bundle beyond one is refused. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_BOUNDS_H
#define WECKD_BOUNDS_H

#define WECKD_MAX_PATH 512                            /* bytes of a path, its NUL included */
#define WECKD_MAX_DEPTH 16                            /* folders below each other */
#define WECKD_MAX_FILES 4096                          /* files that one bundle lists */
#define WECKD_MAX_MODELS 64                            /* entries of a manifest's `models` */
#define WECKD_MAX_MODEL_FILES 4                       /* files that a backend loads for one model */
#define WECKD_MAX_MANIFEST_BYTES (64ull << 20)
#define WECKD_MAX_SIGNATURE_BYTES (1ull << 20)
#define WECKD_MAX_MODEL_BYTES (2ull << 30)
#define WECKD_MAX_TOLERANCE 0.5                        /* largest difference of a probability: more would pass any decision */
#define WECKD_MAX_JSON_DEPTH 32
#define WECKD_MAX_ONNX_DEPTH 64                        /* messages in each other */

#endif
