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

/* Bring the region into the block's frame. */
static int fit(weckd_bundle *bundle, const weckd_frame *frame, weckd_why why) {
    weckd_region region;
    int status = weckd_frame_region(frame, &region, why);
    if (status != WECKD_OK) {
        return status;
    }
    uint32_t width = bundle->contract.frame_width, height = bundle->contract.frame_height;
    size_t row = (size_t)width * 3;
    if (region.width == width && region.height == height) {
        if (region.pixels == bundle->frame && region.format == WECKD_RGB && region.stride == row) {
            return WECKD_OK;
        }
        if (region.format == WECKD_RGB && region.stride == row) {
            memmove(bundle->frame, region.pixels, row * height);
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

static int answer(weckd_bundle *bundle, const weckd_frame *frame, weckd_result *result, float *probabilities,
                  uint32_t classes) {
    weckd_why why = {bundle->message};
    if (probabilities != NULL && classes != bundle->contract.classes) {
        return weckd_fail(why, WECKD_ERR_ARGUMENT, "expected room for %u probabilities, got %u", bundle->contract.classes,
                          classes);
    }
    uint64_t start = bundle->clock_ns(bundle->clock_context);
    int status = fit(bundle, frame, why);
    if (status != WECKD_OK) {
        return status;
    }
    uint64_t fitted = bundle->clock_ns(bundle->clock_context), looked = fitted;
    result->fit_ns = fitted - start;
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
    status = bundle->backend->run(bundle->session, why);
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
