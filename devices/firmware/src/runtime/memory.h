/* Layout of the one block that holds an open bundle. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_MEMORY_H
#define WECKD_MEMORY_H

#include "image/front_end.h"

#include <stdbool.h>

#define WECKD_ALIGN 64
#define WECKD_HEAD_BYTES 8192 /* for struct weckd_bundle itself, the same on every machine */

/* Distances of the parts from the block's start, bytes. */
typedef struct weckd_layout {
    size_t guard, exam, non_gradeable_labels, labels, probabilities, expected, frame, pixels, model, after_model;
    size_t front_end;
    size_t bytes; /* size of the whole block */
} weckd_layout;

/* Lay out the block for these sizes. false: a size is 0 or over its limit. */
bool weckd_layout_of(const weckd_sizes *sizes, weckd_layout *layout);

#endif
