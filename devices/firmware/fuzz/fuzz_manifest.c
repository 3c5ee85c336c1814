/* Reads any bytes as manifest.json, with a right digest of their own. SPDX-License-Identifier: Apache-2.0 */
#include "bundle/manifest.h"
#include "repair.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char message[WECKD_MESSAGE_BYTES];
    weckd_manifest manifest;
    weckd_model model;
    char *text = malloc(size + 1);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    repair_digest(text, size);
    if (weckd_manifest_read(text, size, &manifest, (weckd_error){message}) == WECKD_OK) {
        (void)weckd_manifest_model(&manifest, "openvino", &model);
        if (weckd_manifest_find(&manifest, manifest.onnx.path) == NULL) {
            abort(); /* every file that is used must be listed */
        }
    }
    weckd_manifest_free(&manifest);
    free(text);
    return 0;
}
