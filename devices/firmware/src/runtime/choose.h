/* Choice of the backend that runs a bundle, and of its files. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_CHOOSE_H
#define WECKD_CHOOSE_H

#include "backends/backend.h"
#include "bundle/manifest.h"

typedef struct weckd_choice {
    const weckd_backend *backend;
    void *runtime;          /* loaded; NULL where only the files were chosen */
    weckd_model model;
    uint64_t bytes;         /* bytes of its files, together */
    char device_path[WECKD_MAX_PATH];
} weckd_choice;

/* Choose the first backend that has files to run here and, with `load`, whose library is here too. */
int weckd_choose(int folder_fd, const weckd_manifest *manifest, const weckd_options *options, bool load,
                 weckd_choice *choice, weckd_error error);

void weckd_choice_free(weckd_choice *choice);

#endif
