/* Choice of the model that runs here, and of the backend that runs it. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_CHOOSE_H
#define WECKD_CHOOSE_H

#include "backends/backend.h"
#include "bundle/manifest.h"

typedef struct weckd_choice {
    const weckd_backend *backend;
    void *runtime;             /* loaded */
    weckd_entry entry;
    const weckd_file_ref *graph, *weights; /* among the entry's files; `weights` may be NULL */
    bool by_device;            /* this device chose it (device/choice.json); otherwise the manifest's order did */
    json_t *record;            /* where texts of the entry lie; may be NULL */
} weckd_choice;

/* Choose what this device chose, or else the manifest's first entry, whose backend is in this build and whose library loads. */
int weckd_choose(int folder_fd, const weckd_manifest *manifest, const weckd_options *options, weckd_choice *choice,
                 weckd_error error);

/* Choose the manifest's first such entry, whatever this device chose. */
int weckd_choose_listed(const weckd_manifest *manifest, const weckd_options *options, weckd_choice *choice, weckd_error error);

/* Tell whether an entry's files were built on this device; the digests of such files are checked when they are read. */
bool weckd_entry_is_built_here(const weckd_entry *entry);

void weckd_choice_free(weckd_choice *choice);

/* Return the most bytes of a model's files among all that weckd_choose could choose, whichever library loads; 0: it has none. */
uint64_t weckd_largest_model(int folder_fd, const weckd_manifest *manifest, const weckd_options *options);

/* Return the bytes of a model's files, together. */
uint64_t weckd_entry_bytes(const weckd_entry *entry);

/* Read what this device chose, where it proves true, but for the digests of files that were built here. The caller calls json_decref. NULL: it chose nothing that may run. */
json_t *weckd_choice_read(int folder_fd, const weckd_manifest *manifest, weckd_entry *entry);

#endif
