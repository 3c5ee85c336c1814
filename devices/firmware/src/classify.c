/* From a caller's frame to a decision. SPDX-License-Identifier: Apache-2.0 */
#include "bundle.h"

#include <math.h>
#include <string.h>

const weckd_contract *weckd_contract_of(const weckd_bundle *bundle) { return bundle == NULL ? NULL : &bundle->contract; }

const char *weckd_label(const weckd_bundle *bundle, uint32_t index) {
    return bundle == NULL || index >= bundle->contract.classes ? NULL : bundle->labels + (size_t)index * WECKD_MAX_LABEL_BYTES;
}

const char *weckd_backend_name(const weckd_bundle *bundle) { return bundle == NULL ? NULL : bundle->backend->name; }

const char *weckd_backend_version(const weckd_bundle *bundle) { return bundle == NULL ? NULL : bundle->backend_version; }

const char *weckd_message(const weckd_bundle *bundle) { return bundle == NULL ? "" : bundle->message; }

uint8_t *weckd_frame_buffer(weckd_bundle *bundle) { return bundle == NULL ? NULL : bundle->frame; }

static bool overlaps(const uint8_t *rows, size_t stride, uint32_t count, size_t row, const uint8_t *frame, size_t bytes) {
    uintptr_t first = (uintptr_t)rows, own = (uintptr_t)frame;
    return first < own + bytes && own < first + stride * (count - 1) + row;
}

/* Whether what the region is read from shares a byte with the block's frame, which it is written to. */
static bool is_own(const weckd_region *region, const uint8_t *frame, size_t bytes) {
    uint32_t pairs = (region->height + 1) / 2;
    return overlaps(region->pixels, region->stride, region->height, weckd_region_row_bytes(region), frame, bytes) ||
           (region->chroma != NULL && overlaps(region->chroma, region->chroma_stride, pairs, region->width, frame, bytes));
}

/* Exchange red and blue where they lie. */
static void swap(uint8_t *frame, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 3) {
        uint8_t first = frame[i];
        frame[i] = frame[i + 2];
        frame[i + 2] = first;
    }
}

/* Bring the region into the block's frame; `*swapped`: it lies there as BGR, and was made RGB in place. */
static int fit(weckd_bundle *bundle, const weckd_frame *frame, bool *swapped, weckd_why why) {
    weckd_region region;
    int status = weckd_frame_region(frame, &region, why);
    if (status != WECKD_OK) {
        return status;
    }
    uint32_t width = bundle->contract.frame_width, height = bundle->contract.frame_height;
    size_t row = (size_t)width * 3;
    if (is_own(&region, bundle->frame, row * height)) {
        if (region.pixels != bundle->frame || region.format > WECKD_BGR || region.stride != row || region.width != width ||
            region.height != height) {
            return weckd_fail(why, WECKD_ERR_ARGUMENT, "frame: overlaps the bundle's own frame buffer, where only a whole "
                              "frame may lie: %u x %u pixels of RGB or BGR, rows without padding", width, height);
        }
        *swapped = region.format == WECKD_BGR;
        if (*swapped) {
            swap(bundle->frame, row * height);
        }
        return WECKD_OK;
    }
    if (region.width == width && region.height == height) {
        if (region.format == WECKD_RGB && region.stride == row) {
            memcpy(bundle->frame, region.pixels, row * height);
            return WECKD_OK;
        }
        for (uint32_t y = 0; y < height; y++) {
            weckd_region_row(&region, y, bundle->frame + y * row);
        }
        return WECKD_OK;
    }
    if (frame->fit == WECKD_FIT_EXACT) {
        return weckd_fail(why, WECKD_ERR_GEOMETRY, "frame: expected a region of %u x %u pixels, got %u x %u; choose another "
                          "region, or WECKD_FIT_COVER", width, height, region.width, region.height);
    }
    if (region.width > bundle->max_source_width || region.height > bundle->max_source_height) {
        return weckd_fail(why, WECKD_ERR_GEOMETRY, "frame: WECKD_FIT_COVER takes at most %u x %u pixels here, got %u x %u; "
                          "raise max_source_width and max_source_height", bundle->max_source_width, bundle->max_source_height,
                          region.width, region.height);
    }
    weckd_cover(&region, width, height, &bundle->cover, bundle->frame);
    return WECKD_OK;
}

/* The likeliest label where it is likely enough and an answer at all. A comparison with a number that is none is false: hence the test first. */
static void decide(const weckd_bundle *bundle, weckd_result *result) {
    const float *answer = bundle->answer;
    uint32_t best = 0;
    for (uint32_t i = 0; i < bundle->contract.classes; i++) {
        if (!isfinite(answer[i])) {
            result->reason = WECKD_REASON_NOT_A_NUMBER;
            return;
        }
        best = answer[i] > answer[best] ? i : best;
    }
    result->likeliest = (int32_t)best;
    result->probability = answer[best];
    if ((double)answer[best] < bundle->contract.abstain_below) {
        result->reason = WECKD_REASON_LOW_PROBABILITY;
    } else if (bundle->refused[best] != 0) {
        result->reason = WECKD_REASON_REFUSED_LABEL;
    } else {
        result->decision = (int32_t)best;
    }
}

/* Answer what lies in the block's frame. */
static int look(weckd_bundle *bundle, const weckd_frame *frame, uint64_t fitted, weckd_result *result, float *probabilities,
                uint32_t classes, weckd_why why) {
    uint64_t looked = fitted;
    if (bundle->guard != NULL) {
        result->guard = weckd_guard_look(bundle->guard, bundle->frame, &result->quality, &result->unfamiliarity);
        looked = bundle->clock_ns(bundle->clock_context);
        result->guard_ns = looked - fitted;
    }
    if (result->guard != WECKD_REASON_NONE && (frame->flags & WECKD_ANSWER_ANYWAY) == 0) {
        result->reason = result->guard;
        if (probabilities != NULL) {
            memset(probabilities, 0, classes * sizeof *probabilities);
        }
        return WECKD_OK;
    }
    int status = bundle->backend->run(bundle->session, why);
    if (status != WECKD_OK) {
        return status;
    }
    uint64_t ran = bundle->clock_ns(bundle->clock_context);
    decide(bundle, result);
    if (probabilities != NULL) {
        memcpy(probabilities, bundle->answer, classes * sizeof *probabilities);
    }
    result->run_ns = ran - looked;
    result->decide_ns = bundle->clock_ns(bundle->clock_context) - ran;
    return WECKD_OK;
}

static int answer(weckd_bundle *bundle, const weckd_frame *frame, weckd_result *result, float *probabilities,
                  uint32_t classes) {
    weckd_why why = {bundle->message};
    if (probabilities != NULL && classes != bundle->contract.classes) {
        return weckd_fail(why, WECKD_ERR_ARGUMENT, "expected room for %u probabilities, got %u", bundle->contract.classes,
                          classes);
    }
    bool swapped = false;
    uint64_t start = bundle->clock_ns(bundle->clock_context);
    int status = fit(bundle, frame, &swapped, why);
    if (status != WECKD_OK) {
        return status;
    }
    uint64_t fitted = bundle->clock_ns(bundle->clock_context);
    result->fit_ns = fitted - start;
    status = look(bundle, frame, fitted, result, probabilities, classes, why);
    if (swapped) { /* the caller's pixels stay as they are: asked twice, they are answered alike */
        swap(bundle->frame, (size_t)bundle->contract.frame_width * bundle->contract.frame_height * 3);
    }
    return status;
}

int weckd_classify(weckd_bundle *bundle, const weckd_frame *frame, weckd_result *result, float *probabilities,
                   uint32_t classes) {
    if (result != NULL) {
        *result = (weckd_result){.decision = WECKD_UNABLE, .likeliest = -1, .unfamiliarity = -1.0};
    }
    if (bundle == NULL || frame == NULL || result == NULL) {
        return WECKD_ERR_ARGUMENT;
    }
    if (!weckd_enter(bundle)) {
        return WECKD_ERR_BUSY;
    }
    int status = answer(bundle, frame, result, probabilities, classes);
    weckd_leave(bundle);
    return status;
}
