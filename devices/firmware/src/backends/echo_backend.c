/* For tests alone: probabilities are sums over the pixels' bytes, so that every byte counts and no runtime is needed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "backends/common.h"

#include <stdlib.h>
#include <string.h>

static int load(const char *library, void **runtime, weckd_error error) {
    (void)library;
    (void)error;
    *runtime = NULL;
    return WECKD_OK;
}

static void close_session(void *session) { free(session); }

static int prepare(void *session, void *runtime, const weckd_session_request *request, weckd_error error) {
    (void)runtime;
    (void)error;
    *(weckd_session_request *)session = *request;
    return WECKD_OK;
}

static int open_session(void *runtime, const weckd_session_request *request, void **session, weckd_error error) {
    return weckd_session_open(sizeof *request, prepare, close_session, runtime, request, session, error);
}

/* Probability k: the sum of the bytes at places of remainder k, over the sum of all. Black ones give no number. */
static int run(void *session, weckd_error error) {
    (void)error;
    const weckd_session_request *own = session;
    size_t classes = (size_t)own->probabilities_shape[1];
    double all = 0.0;
    for (size_t k = 0; k < classes; k++) {
        double sum = 0.0;
        for (size_t i = k; i < own->pixels_bytes; i += classes) {
            sum += own->pixels[i];
        }
        own->probabilities[k] = (float)sum;
        all += sum;
    }
    for (size_t k = 0; k < classes; k++) {
        own->probabilities[k] = (float)((double)own->probabilities[k] / all);
    }
    return WECKD_OK;
}

static void unload(void *runtime) { (void)runtime; }
static void version(void *runtime, char text[WECKD_VERSION_BYTES]) {
    (void)runtime;
    memcpy(text, "1", 2);
}

const weckd_backend weckd_echo_backend = {
    .name = "echo",
    .graphs = {".onnx"},
    .load = load,
    .open = open_session,
    .run = run,
    .close = close_session,
    .unload = unload,
    .version = version,
};
