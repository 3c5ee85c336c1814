/* State of an open bundle, and the flag that reserves it for one call. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_OPENED_BUNDLE_H
#define WECKD_OPENED_BUNDLE_H

#include "backends/backend.h"
#include "core/bounds.h"
#include "core/digest.h"
#include "guard/guard.h"
#include "exam/state.h"
#include "runtime/memory.h"

#include <stdatomic.h>

/* A file that the self-test reads: the golden frames, or their probabilities. */
typedef struct weckd_golden_file {
    char path[WECKD_MAX_PATH];
    uint64_t bytes;
    uint8_t sha256[WECKD_SHA256_BYTES];
} weckd_golden_file;

struct weckd_bundle {
    weckd_contract contract;
    weckd_model model;
    const weckd_backend *backend;
    void *runtime, *session;
    uint64_t (*clock_ns)(void *context);
    void *clock_context;
    weckd_guard_state *guard; /* NULL: the bundle has none */
    uint8_t *non_gradeable_labels; /* one a class: 1 where the model abstains on that label */
    char *labels;        /* one text of WECKD_MAX_LABEL_BYTES a class */
    float *probabilities; /* [1, classes]: the backend writes it */
    float *expected;     /* [1, classes]: probabilities of one golden frame */
    uint8_t *frame;      /* [1, frame_height, frame_width, 3]: the caller may write it, and the backend reads it, or ... */
    uint8_t *pixels;     /* ... [1, input_height, input_width, 3], made by the front end; NULL: the graph takes the frame */
    uint32_t max_source_width, max_source_height;
    weckd_front_end *front_end; /* from a caller's region to the pixels, or to the frame */
    weckd_exam *exam;
    size_t crop;         /* bytes of the frame before the first pixel of the part that network and guard see */
    weckd_golden_file golden_frames, golden_predictions;
    int folder_fd;       /* the bundle's folder, for the self-test */
    atomic_flag busy;
    bool owns_memory;
    bool is_swapped;     /* red and blue of `frame`, which the caller wrote, are exchanged for as long as it is looked at */
    char backend_version[WECKD_VERSION_BYTES];
    char message[WECKD_MESSAGE_BYTES];
};

_Static_assert(sizeof(struct weckd_bundle) <= WECKD_HEAD_BYTES, "the block's head is too small");

/* Reserve the bundle for one call; false: another thread has it. */
bool weckd_enter(weckd_bundle *bundle);
void weckd_leave(weckd_bundle *bundle);

#endif
