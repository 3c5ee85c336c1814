/* Parts of manifest.json, each read by one file. SPDX-License-Identifier: Apache-2.0
 *
 * Each function reads one part of `manifest->root`, whose keys were checked, into the manifest. It returns WECKD_OK, or a
 * weckd_status and writes the error.
 */
#ifndef WECKD_MANIFEST_PARTS_H
#define WECKD_MANIFEST_PARTS_H

#include "bundle/manifest.h"

/* Fail because the manifest is not of this format. */
int weckd_manifest_bad(weckd_error error, const char *what);

/* Read a file's path, size and digest; the path stays in the bundle's folder. */
int weckd_file_ref_read(const json_t *from, weckd_file_ref *ref, weckd_error error);

/* Read a file's path, size and digest; the path is one that a bundle may list. */
int weckd_manifest_read_ref(const json_t *from, weckd_file_ref *ref, weckd_error error);

/* Read a file's path, size and digest, which must be those in the list of all files. */
int weckd_manifest_read_listed(const weckd_manifest *manifest, const json_t *from, weckd_file_ref *ref, weckd_error error);

/* Read the list of all files; every other part refers to it. */
int weckd_manifest_read_files(weckd_manifest *manifest, weckd_error error);

/* Read the labels, then the input and the operating point. */
int weckd_manifest_read_labels(weckd_manifest *manifest, weckd_error error);
int weckd_manifest_read_input(weckd_manifest *manifest, weckd_error error);

/* Read the rule of an examination, once it is known whether there is a guard. */
int weckd_manifest_read_exam(weckd_manifest *manifest, weckd_error error);

/* Return the precision that an object names, as text that stays; NULL: it is unknown. */
const char *weckd_precision_of(const json_t *model);

/* Tell whether a value is a number that a self-test may allow. */
bool weckd_tolerance_is_good(const json_t *tolerance);

/* Read the ONNX graph, and the models that were made from it. */
int weckd_manifest_read_onnx(weckd_manifest *manifest, weckd_error error);
int weckd_manifest_read_models(weckd_manifest *manifest, weckd_error error);

#endif
