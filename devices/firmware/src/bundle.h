/* An open bundle. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_BUNDLE_H
#define WECKD_BUNDLE_H

#include "backend.h"
#include "bounds.h"
#include "digest.h"
#include "guard.h"
#include "memory.h"

#include <stdatomic.h>

/* A file that is read again after opening. */
typedef struct weckd_kept_file {
    char path[WECKD_MAX_PATH];
    uint64_t bytes;
    uint8_t sha256[WECKD_SHA256_BYTES];
} weckd_kept_file;

struct weckd_bundle {
    weckd_contract contract;
    const weckd_backend *backend;
    void *runtime, *session;
    uint64_t (*clock_ns)(void *context);
    void *clock_context;
    weckd_guard_space *guard; /* NULL: the bundle has none */
    uint8_t *refused;    /* one a class: 1 where that label is no answer */
    char *labels;        /* classes texts of WECKD_MAX_LABEL_BYTES */
    float *answer;       /* what the backend writes */
    float *golden;       /* one golden answer */
    uint8_t *frame;      /* what the backend reads */
    uint32_t max_source_width, max_source_height;
    weckd_cover_space cover;
    weckd_kept_file golden_frames, golden_answers;
    double tolerance;    /* negative: the bundle names none */
    int folder_fd;       /* for the self-test */
    atomic_flag busy;
    bool owns_memory;
    char backend_version[WECKD_VERSION_BYTES];
    char message[WECKD_MESSAGE_BYTES];
};

_Static_assert(sizeof(struct weckd_bundle) <= WECKD_HEAD_BYTES, "the block's head is too small");

/* Take the bundle for one call, or say that another thread has it. */
bool weckd_enter(weckd_bundle *bundle);
void weckd_leave(weckd_bundle *bundle);

#endif
