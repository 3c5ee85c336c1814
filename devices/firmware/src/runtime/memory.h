/* The one block a bundle lives in. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_MEMORY_H
#define WECKD_MEMORY_H

#include "image/resize.h"

#include <stdbool.h>

#define WECKD_ALIGN 64
#define WECKD_HEAD_BYTES 8192 /* for struct weckd_bundle itself, the same on every machine */

/* Where everything lies, as distances from the block's start. */
typedef struct weckd_layout {
    size_t guard, abstain_labels, labels, probabilities, expected, frame, model, after_model;
    size_t row, half, first[2], count[2], weights[2];
    size_t bytes; /* in all */
} weckd_layout;

/* false: a size is 0 or over its limit. */
bool weckd_layout_of(const weckd_sizes *sizes, weckd_layout *layout);

#endif
