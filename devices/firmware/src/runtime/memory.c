/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/memory.h"

#include "core/bounds.h"
#include "guard/guard.h"
#include "exam/state.h"

static size_t reserve(size_t *at, uint64_t bytes) {
    size_t here = *at;
    *at += (size_t)((bytes + WECKD_ALIGN - 1) / WECKD_ALIGN * WECKD_ALIGN);
    return here;
}

static bool is_side(uint32_t pixels) { return pixels >= 1 && pixels <= WECKD_MAX_SIDE; }

bool weckd_layout_of(const weckd_sizes *sizes, weckd_layout *layout) {
    uint64_t width = sizes->frame_width, height = sizes->frame_height, classes = sizes->classes;
    bool resizes = sizes->max_source_width != 0 || sizes->max_source_height != 0;
    if (!is_side(sizes->frame_width) || !is_side(sizes->frame_height) || !is_side(sizes->input_width) ||
        !is_side(sizes->input_height) || classes == 0 || classes > WECKD_MAX_CLASSES ||
        (resizes && (!is_side(sizes->max_source_width) || !is_side(sizes->max_source_height))) ||
        sizes->model_bytes > WECKD_MAX_MODEL_BYTES) {
        return false;
    }
    const weckd_front_end_spec spec = {
        .frame_width = sizes->frame_width,
        .frame_height = sizes->frame_height,
        .width = sizes->frame_width, /* the largest crop */
        .height = sizes->frame_height,
        .network_width = sizes->input_width,
        .network_height = sizes->input_height,
        .max_source_width = sizes->max_source_width,
        .max_source_height = sizes->max_source_height,
    };
    size_t at = WECKD_HEAD_BYTES;
    layout->guard = reserve(&at, sizeof(weckd_guard_state));
    layout->exam = reserve(&at, weckd_exam_bytes(sizes->classes));
    layout->non_gradeable_labels = reserve(&at, classes);
    layout->labels = reserve(&at, classes * WECKD_MAX_LABEL_BYTES);
    layout->probabilities = reserve(&at, classes * sizeof(float));
    layout->expected = reserve(&at, classes * sizeof(float));
    layout->frame = reserve(&at, width * height * 3);
    layout->pixels = reserve(&at, (uint64_t)sizes->input_width * sizes->input_height * 3);
    layout->model = reserve(&at, sizes->model_bytes + (uint64_t)WECKD_MAX_MODEL_FILES * WECKD_ALIGN);
    layout->after_model = at;
    layout->front_end = reserve(&at, weckd_front_end_bytes(&spec));
    layout->bytes = at;
    return true;
}

size_t weckd_memory_bytes(const weckd_sizes *sizes) {
    weckd_layout layout = {0};
    return sizes != NULL && weckd_layout_of(sizes, &layout) ? layout.bytes : 0;
}
