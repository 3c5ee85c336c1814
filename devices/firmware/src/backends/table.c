/* The table of backends; the build says which are in it. SPDX-License-Identifier: Apache-2.0 */
#include "backends/backend.h"

#include <string.h>

const weckd_backend *const weckd_backends[] = {
#ifdef WECKD_WITH_TENSORRT
    &weckd_tensorrt_backend,
#endif
#ifdef WECKD_WITH_OPENVINO
    &weckd_openvino_backend,
#endif
#ifdef WECKD_WITH_ONNXRUNTIME
    &weckd_onnxruntime_backend,
#endif
#ifdef WECKD_WITH_ECHO
    &weckd_echo_backend,
#endif
    NULL,
};

const weckd_backend *weckd_backend_find(const char *name) {
    const weckd_backend *const *row = weckd_backends;
    while (*row != NULL && strcmp((*row)->name, name) != 0) {
        row++;
    }
    return *row;
}

const char *weckd_backend_at(uint32_t index) {
    for (uint32_t i = 0; weckd_backends[i] != NULL; i++) {
        if (i == index) {
            return weckd_backends[i]->name;
        }
    }
    return NULL;
}
