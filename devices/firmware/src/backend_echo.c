/* For tests alone: answers are sums over the frame's bytes, so that every byte counts and no runtime is needed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "backend.h"

#include <stdlib.h>
#include <string.h>

static int load(const char *library, void **runtime, weckd_why why) {
    (void)library;
    (void)why;
    *runtime = NULL;
    return WECKD_OK;
}

static int open_session(void *runtime, const weckd_session_request *request, void **session, weckd_why why) {
    (void)runtime;
    weckd_session_request *own = malloc(sizeof *own);
    if (own == NULL) {
        return weckd_fail(why, WECKD_ERR_MEMORY, "no memory");
    }
    *own = *request;
    *session = own;
    return WECKD_OK;
}

/* Answer k: the sum of the bytes at places of remainder k, over the sum of all. A black frame gives no number. */
static int run(void *session, weckd_why why) {
    (void)why;
    const weckd_session_request *own = session;
    size_t bytes = (size_t)own->frame_height * own->frame_width * 3;
    double all = 0.0;
    for (uint32_t k = 0; k < own->classes; k++) {
        double sum = 0.0;
        for (size_t i = k; i < bytes; i += own->classes) {
            sum += own->frame[i];
        }
        own->answer[k] = (float)sum;
        all += sum;
    }
    for (uint32_t k = 0; k < own->classes; k++) {
        own->answer[k] = (float)((double)own->answer[k] / all);
    }
    return WECKD_OK;
}

static void close_session(void *session) { free(session); }
static void unload(void *runtime) { (void)runtime; }
static void version(void *runtime, char text[WECKD_VERSION_BYTES]) {
    (void)runtime;
    memcpy(text, "1", 2);
}

const weckd_backend weckd_echo_backend = {
    .name = "echo",
    .reads_onnx = true,
    .load = load,
    .open = open_session,
    .run = run,
    .close = close_session,
    .unload = unload,
    .version = version,
};
