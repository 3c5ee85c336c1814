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
    const weckd_blob *files;
    size_t count;
    const char *cache_dir; /* may be NULL */
    uint32_t threads, height, width, classes;
    uint8_t *pixels;       /* [1, height, width, 3], 64-byte aligned: what the graph takes; every run reads it */
    float *probabilities;  /* [1, classes], 64-byte aligned; every run writes it */
} weckd_session_request;

typedef struct weckd_backend {
    const char *name;
    bool reads_onnx;   /* runs the bundle's ONNX graph where the bundle has no model of its own for this backend */
    bool from_device;  /* runs the engine that was built on the device */
    /* Load the runtime's library; WECKD_ERR_BACKEND: it is not here. */
    int (*load)(const char *library, void **runtime, weckd_error error);
    int (*open)(void *runtime, const weckd_session_request *request, void **session, weckd_error error);
    int (*run)(void *session, weckd_error error); /* pixels to probabilities; this library allocates nothing */
    void (*close)(void *session);
    void (*unload)(void *runtime);
    void (*version)(void *runtime, char text[WECKD_VERSION_BYTES]);
} weckd_backend;

/* The backends of this build, in the order in which they are tried; ended by NULL. */
extern const weckd_backend *const weckd_backends[];

extern const weckd_backend weckd_openvino_backend, weckd_tensorrt_backend, weckd_onnxruntime_backend, weckd_echo_backend;

#ifdef __cplusplus
}
#endif
#endif
