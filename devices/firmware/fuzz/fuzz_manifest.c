/* Reads any bytes as manifest.json, with a right digest of their own. SPDX-License-Identifier: Apache-2.0 */
#include "bundle/manifest.h"
#include "repair.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every file of a model that runs is listed, and its tolerance is one. */
static bool is_whole(const weckd_manifest *manifest, const weckd_entry *entry) {
    bool good = entry->precision != NULL && entry->count > 0 && entry->tolerance >= 0.0 && entry->tolerance <= WECKD_MAX_TOLERANCE &&
                weckd_manifest_find(manifest, entry->expected.path) != NULL;
    for (size_t k = 0; k < entry->count; k++) {
        good = good && weckd_manifest_find(manifest, entry->files[k].path) != NULL;
    }
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char message[WECKD_MESSAGE_BYTES];
    weckd_manifest manifest;
    weckd_entry entry;
    char *text = malloc(size + 1);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    repair_digest(text, size);
    if (weckd_manifest_read(text, size, &manifest, (weckd_error){message}) == WECKD_OK) {
        if (weckd_manifest_find(&manifest, manifest.onnx.path) == NULL) {
            abort(); /* every file that is used must be listed */
        }
        for (size_t i = 0; i < json_array_size(manifest.models); i++) {
            if (weckd_manifest_entry(&manifest, i, &entry) && !is_whole(&manifest, &entry)) {
                abort();
            }
        }
    }
    weckd_manifest_free(&manifest);
    free(text);
    return 0;
}
