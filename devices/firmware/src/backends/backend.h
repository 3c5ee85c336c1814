/* A backend: a table of functions that run models with one runtime. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_BACKEND_H
#define WECKD_BACKEND_H

#include "core/errors.h"

#include <stdbool.h>

#define WECKD_VERSION_BYTES 64

#ifdef __cplusplus
extern "C" {
#endif

/* A file of the model, hashed while it was read; the bytes live until the session is closed. */
typedef struct weckd_blob {
    const char *path; /* as the manifest has it */
    const uint8_t *data;
    size_t bytes;
    const uint8_t *sha256; /* digest of the bytes */
} weckd_blob;

/* Request to open a model: its files, its settings, and where its pixels and the probabilities lie. */
typedef struct weckd_session_request {
    weckd_blob graph;      /* ends as the backend's row says, and holds what its name says */
    weckd_blob weights;    /* of an IR; no bytes: it has none */
    bool half;             /* compute in float16 wherever a layer is not int8 */
    const char *cache_dir; /* may be NULL */
    uint32_t threads;
    int64_t pixels_shape[4];        /* 1, height, width, 3 */
    int64_t probabilities_shape[2]; /* 1, classes */
    size_t pixels_bytes, probabilities_bytes;
    uint8_t *pixels;       /* 64-byte aligned: what the graph takes; every run reads it */
    float *probabilities;  /* 64-byte aligned; every run writes it */
} weckd_session_request;

typedef struct weckd_backend {
    const char *name;
    const char *graphs[3]; /* endings of the files that it runs; ended by NULL */
    const char *never_int8; /* ending of graphs that it runs in every precision but int8; NULL: there is none */
    bool built_here;       /* such a file is built on the device; no manifest lists it */
    /* Load the runtime's library; WECKD_ERR_BACKEND: it is not here. */
    int (*load)(const char *library, void **runtime, weckd_error error);
    bool (*has_half)(void *runtime); /* whether this processor computes in float16; NULL: never */
    int (*open)(void *runtime, const weckd_session_request *request, void **session, weckd_error error);
    int (*run)(void *session, weckd_error error); /* pixels to probabilities; this library allocates nothing */
    void (*close)(void *session);
    void (*unload)(void *runtime);
    void (*version)(void *runtime, char text[WECKD_VERSION_BYTES]);
} weckd_backend;

/* The backends of this build; ended by NULL. */
extern const weckd_backend *const weckd_backends[];

/* Find a backend of this build by its name; NULL: there is none. */
const weckd_backend *weckd_backend_find(const char *name);

extern const weckd_backend weckd_openvino_backend, weckd_tensorrt_backend, weckd_onnxruntime_backend, weckd_echo_backend;

#ifdef __cplusplus
}
#endif
#endif
