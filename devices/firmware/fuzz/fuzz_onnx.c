/* Reads any bytes as an ONNX graph; a graph that is accepted must be refused once a tensor with its data outside follows.
 * SPDX-License-Identifier: Apache-2.0 */
#include "formats/onnx.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t outside[] = {0x3a, 0x04, 0x2a, 0x02, 0x70, 0x01}; /* graph { initializer { data_location: EXTERNAL } } */
    char message[WECKD_MESSAGE_BYTES];
    if (weckd_onnx_check(data, size, (weckd_error){message}) != WECKD_OK) {
        return 0;
    }
    uint8_t *longer = malloc(size + sizeof outside);
    if (longer == NULL) {
        return 0;
    }
    memcpy(longer, data, size);
    memcpy(longer + size, outside, sizeof outside);
    if (weckd_onnx_check(longer, size + sizeof outside, (weckd_error){message}) == WECKD_OK) {
        abort();
    }
    free(longer);
    return 0;
}
