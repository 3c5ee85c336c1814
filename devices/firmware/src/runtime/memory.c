/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/memory.h"

#include "core/bounds.h"
#include "guard/guard.h"

static size_t reserve(size_t *at, uint64_t bytes) {
    size_t here = *at;
    *at += (size_t)((bytes + WECKD_ALIGN - 1) / WECKD_ALIGN * WECKD_ALIGN);
    return here;
}

static bool is_side(uint32_t pixels) { return pixels >= 1 && pixels <= WECKD_MAX_SIDE; }

bool weckd_layout_of(const weckd_sizes *sizes, weckd_layout *layout) {
    uint64_t width = sizes->frame_width, height = sizes->frame_height, classes = sizes->classes;
    bool resizes = sizes->max_source_width != 0 || sizes->max_source_height != 0;
    if (!is_side(sizes->frame_width) || !is_side(sizes->frame_height) || classes == 0 || classes > WECKD_MAX_CLASSES ||
        (resizes && (!is_side(sizes->max_source_width) || !is_side(sizes->max_source_height))) ||
        sizes->model_bytes > WECKD_MAX_MODEL_BYTES) {
        return false;
    }
    size_t at = WECKD_HEAD_BYTES;
    layout->guard = reserve(&at, sizeof(weckd_guard_state));
    layout->non_gradeable_labels = reserve(&at, classes);
    layout->labels = reserve(&at, classes * WECKD_MAX_LABEL_BYTES);
    layout->probabilities = reserve(&at, classes * sizeof(float));
    layout->expected = reserve(&at, classes * sizeof(float));
    layout->frame = reserve(&at, width * height * 3);
    layout->model = reserve(&at, sizes->model_bytes + (uint64_t)WECKD_MAX_MODEL_FILES * WECKD_ALIGN);
    layout->after_model = at;
    if (resizes) {
        uint64_t source[2] = {sizes->max_source_width, sizes->max_source_height}, target[2] = {width, height};
        layout->row = reserve(&at, source[0] * 3);
        layout->half = reserve(&at, source[1] * width * 3);
        for (int axis = 0; axis < 2; axis++) {
            layout->first[axis] = reserve(&at, target[axis] * sizeof(int32_t));
            layout->count[axis] = reserve(&at, target[axis] * sizeof(int32_t));
            uint64_t taps = weckd_resize_taps((uint32_t)source[axis], (uint32_t)target[axis]);
            layout->weights[axis] = reserve(&at, target[axis] * taps * sizeof(int32_t));
        }
    }
    layout->bytes = at;
    return true;
}

size_t weckd_memory_bytes(const weckd_sizes *sizes) {
    weckd_layout layout = {0};
    return sizes != NULL && weckd_layout_of(sizes, &layout) ? layout.bytes : 0;
}
