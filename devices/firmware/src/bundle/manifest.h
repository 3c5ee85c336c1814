/* Read and check manifest.json. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_MANIFEST_H
#define WECKD_MANIFEST_H

#include "bundle/exam_rule.h"
#include "core/bounds.h"
#include "core/digest.h"
#include "core/errors.h"

#include <jansson.h>
#include <stdbool.h>

#define WECKD_MANIFEST_FILE "manifest.json"
#define WECKD_SIGNATURE_FILE "signature"

/* A file that the manifest lists. Its path lies in the JSON tree. */
typedef struct weckd_file_ref {
    const char *path;
    uint64_t bytes;
    uint8_t sha256[WECKD_SHA256_BYTES];
} weckd_file_ref;

/* A model that may run: an entry of the manifest, or what this device chose. Its texts lie in the JSON tree. */
typedef struct weckd_entry {
    const char *backend;    /* "openvino", ... */
    const char *precision;  /* "int8", "fp16" or "fp32"; the text stays when the manifest is freed */
    const char *source;     /* SHA-256 of the ONNX graph that it was made from, as text */
    weckd_file_ref files[WECKD_MAX_MODEL_FILES];
    size_t count;
    weckd_file_ref expected; /* its probabilities of the golden frames */
    double tolerance;        /* largest difference of a probability that passes */
    bool half;               /* its settings ask for float16 wherever a layer is not int8 */
    bool takes_pixels;       /* its graph takes the resized pixels; otherwise it takes the frame */
} weckd_entry;

/* The manifest. Everything points into `root` and `files`, which weckd_manifest_free releases. */
typedef struct weckd_manifest {
    json_t *root;
    weckd_file_ref *files;   /* sorted by path */
    size_t count;
    weckd_contract contract; /* its `signature` is filled in later */
    weckd_file_ref onnx, golden_frames;
    weckd_file_ref guard;    /* its path is NULL where there is none */
    weckd_exam_rule exam;
    uint32_t crop_height;    /* centred part of the frame that the network sees, pixels */
    uint32_t crop_width;
    bool graph_takes_pixels; /* the graph takes the resized pixels; otherwise it takes the frame */
    uint32_t scaled_size[2]; /* height and width that the graph scales the whole frame to; 0: it resizes the crop alone */
    const json_t *non_gradeable_labels; /* list of labels on which the model abstains, or NULL */
    const json_t *labels, *models;
} weckd_manifest;

/* Read the bytes of manifest.json. The caller frees, whatever is returned. */
int weckd_manifest_read(const char *text, size_t bytes, weckd_manifest *manifest, weckd_error error);
void weckd_manifest_free(weckd_manifest *manifest);

/* Find a listed file by its path; NULL: not listed. */
const weckd_file_ref *weckd_manifest_find(const weckd_manifest *manifest, const char *path);

/* Read the entry at a place in the list of models. false: it is no model that a backend runs as it is. */
bool weckd_manifest_entry(const weckd_manifest *manifest, size_t place, weckd_entry *entry);

/* Read what the golden frames must give with a model that a backend builds on the device. false: the manifest has no recipe for it. */
bool weckd_manifest_recipe(const weckd_manifest *manifest, const char *backend, weckd_file_ref *expected, double *tolerance);

#endif
