/* Classify a caller's frame: fit it, ask the guard, run the network, decide. SPDX-License-Identifier: Apache-2.0 */
#include "runtime/classify.h"

#include <math.h>
#include <string.h>

static bool overlaps(const uint8_t *rows, size_t stride, uint32_t count, size_t row, const uint8_t *frame, size_t bytes) {
    uintptr_t first = (uintptr_t)rows, own = (uintptr_t)frame;
    return first < own + bytes && own < first + stride * (count - 1) + row;
}

/* Tell whether the region shares a byte with the block's frame, which it is written to. */
static bool overlaps_own_frame(const weckd_region *region, const uint8_t *frame, size_t bytes) {
    uint32_t pairs = (region->height + 1) / 2;
    return overlaps(region->pixels, region->stride, region->height, weckd_region_row_bytes(region), frame, bytes) ||
           (region->chroma != NULL && overlaps(region->chroma, region->chroma_stride, pairs, region->width, frame, bytes));
}

/* Exchange red and blue of the block's own frame in place. */
static void swap_red_and_blue(weckd_bundle *bundle) {
    size_t pixels = (size_t)bundle->contract.frame_width * bundle->contract.frame_height;
    weckd_exchange_red_and_blue(bundle->frame, pixels, bundle->frame);
}

/* Check the caller's frame and find its region, which the front end takes. */
static int find_region(const weckd_bundle *bundle, const weckd_frame *frame, weckd_region *region, weckd_error error) {
    int status = weckd_frame_region(frame, region, error);
    if (status != WECKD_OK) {
        return status;
    }
    const weckd_contract *contract = &bundle->contract;
    uint32_t width = contract->frame_width, height = contract->frame_height;
    size_t row = (size_t)width * 3;
    bool fits = weckd_front_end_fits(bundle->front_end, region);
    bool is_whole = fits && region->pixels == bundle->frame && region->format <= WECKD_BGR && region->stride == row;
    if (!is_whole && overlaps_own_frame(region, bundle->frame, row * height)) {
        return weckd_fail(error, WECKD_ERR_ARGUMENT, "frame: overlaps the bundle's own frame buffer, where only a whole "
                          "frame may lie: %u x %u pixels of RGB or BGR, rows without padding", width, height);
    }
    if (frame->fit == WECKD_FIT_EXACT && !fits) {
        return weckd_fail(error, WECKD_ERR_GEOMETRY, "frame: expected a region of %u x %u pixels, got %u x %u; choose another "
                          "region, or WECKD_FIT_COVER", width, height, region->width, region->height);
    }
    if (!fits && (region->width < contract->input_width || region->height < contract->input_height)) {
        return weckd_fail(error, WECKD_ERR_GEOMETRY, "frame: expected a region of at least %u x %u pixels, as many as the network's "
                          "input has, got %u x %u", contract->input_width, contract->input_height, region->width, region->height);
    }
    if (!weckd_front_end_takes(bundle->front_end, region)) {
        return weckd_fail(error, WECKD_ERR_GEOMETRY, "frame: WECKD_FIT_COVER takes at most %u x %u pixels here, got %u x %u; "
                          "raise max_source_width and max_source_height", bundle->max_source_width, bundle->max_source_height,
                          region->width, region->height);
    }
    return WECKD_OK;
}

/* Make the network's pixels of the region, and ask the guard about it, in one pass. */
static void make_pixels(weckd_bundle *bundle, const weckd_region *region, weckd_result *result) {
    weckd_stopwatch stopwatch = {.now_ns = bundle->clock_ns, .context = bundle->clock_context};
    uint64_t start_ns = bundle->clock_ns(bundle->clock_context);
    weckd_front_end_pixels(bundle->front_end, region, bundle->guard, &stopwatch, bundle->pixels);
    uint64_t made_ns = bundle->clock_ns(bundle->clock_context);
    result->front_end_ns = made_ns - start_ns - stopwatch.guard_ns;
    if (bundle->guard != NULL) {
        result->guard = weckd_guard_finish(bundle->guard, &result->quality, &result->ood_score);
        result->guard_ns = stopwatch.guard_ns + bundle->clock_ns(bundle->clock_context) - made_ns;
    }
}

/* Make the whole frame of the region, for a graph that takes that, and ask the guard about it. One that lies in the block as BGR is
 * made RGB in place. */
static void make_frame(weckd_bundle *bundle, const weckd_region *region, weckd_result *result) {
    size_t row = (size_t)bundle->contract.frame_width * 3;
    uint64_t start_ns = bundle->clock_ns(bundle->clock_context);
    bool is_own = region->pixels == bundle->frame;
    bundle->is_swapped = is_own && region->format == WECKD_BGR;
    if (bundle->is_swapped) {
        swap_red_and_blue(bundle);
    } else if (!is_own) {
        weckd_front_end_crop(bundle->front_end, region, bundle->frame);
    }
    uint64_t made_ns = bundle->clock_ns(bundle->clock_context);
    result->front_end_ns = made_ns - start_ns;
    if (bundle->guard != NULL) {
        result->guard = weckd_guard_check(bundle->guard, bundle->frame + bundle->crop, row, false, &result->quality,
                                          &result->ood_score);
        result->guard_ns = bundle->clock_ns(bundle->clock_context) - made_ns;
    }
}

int weckd_look(weckd_bundle *bundle, const weckd_frame *frame, weckd_result *result, weckd_error error) {
    weckd_region region;
    int status = find_region(bundle, frame, &region, error);
    if (status != WECKD_OK) {
        return status;
    }
    if (bundle->pixels != NULL) {
        make_pixels(bundle, &region, result);
    } else {
        make_frame(bundle, &region, result);
    }
    return WECKD_OK;
}

void weckd_release_frame(weckd_bundle *bundle) {
    if (bundle->is_swapped) { /* the same frame again has the same prediction */
        swap_red_and_blue(bundle);
        bundle->is_swapped = false;
    }
}

/* Find the most probable label. A NaN compares false with everything, so it is looked for first. */
static void find_prediction(const weckd_bundle *bundle, weckd_result *result) {
    const float *probabilities = bundle->probabilities;
    uint32_t best = 0;
    for (uint32_t i = 0; i < bundle->contract.classes; i++) {
        if (!isfinite(probabilities[i])) {
            result->reason = WECKD_REASON_NOT_A_NUMBER;
            return;
        }
        best = probabilities[i] > probabilities[best] ? i : best;
    }
    result->prediction = (int32_t)best;
    result->probability = probabilities[best];
}

int weckd_run_network(weckd_bundle *bundle, weckd_result *result, weckd_error error) {
    uint64_t start_ns = bundle->clock_ns(bundle->clock_context);
    int status = bundle->backend->run(bundle->session, error);
    if (status != WECKD_OK) {
        return status;
    }
    uint64_t predicted_ns = bundle->clock_ns(bundle->clock_context);
    find_prediction(bundle, result);
    result->network_ns = predicted_ns - start_ns;
    result->decision_ns = bundle->clock_ns(bundle->clock_context) - predicted_ns;
    return WECKD_OK;
}

/* Decide for the most probable label, or abstain. */
static void decide(const weckd_bundle *bundle, weckd_result *result) {
    if (result->reason != WECKD_REASON_NONE) {
        return;
    }
    if ((double)result->probability < bundle->contract.confidence_threshold) {
        result->reason = WECKD_REASON_LOW_PROBABILITY;
    } else if (bundle->non_gradeable_labels[result->prediction] != 0) {
        result->reason = WECKD_REASON_NON_GRADEABLE_LABEL;
    } else {
        result->decision = result->prediction;
    }
}

/* Run the network on what the front end made, unless the guard rejected the frame. */
static int predict(weckd_bundle *bundle, const weckd_frame *frame, weckd_result *result, float *probabilities, uint32_t classes,
                   weckd_error error) {
    if (result->guard != WECKD_REASON_NONE && (frame->flags & WECKD_IGNORE_GUARD) == 0) {
        result->reason = result->guard;
        if (probabilities != NULL) {
            memset(probabilities, 0, classes * sizeof *probabilities);
        }
        return WECKD_OK;
    }
    int status = weckd_run_network(bundle, result, error);
    if (status != WECKD_OK) {
        return status;
    }
    decide(bundle, result);
    if (probabilities != NULL) {
        memcpy(probabilities, bundle->probabilities, classes * sizeof *probabilities);
    }
    return WECKD_OK;
}

int weckd_check_room(const weckd_bundle *bundle, const void *probabilities, uint32_t classes, weckd_error error) {
    uint32_t expected = bundle->contract.classes;
    if (probabilities != NULL && classes != expected) {
        return weckd_fail(error, WECKD_ERR_ARGUMENT, "expected room for %u probabilities, got %u", expected, classes);
    }
    return WECKD_OK;
}

static int classify(weckd_bundle *bundle, const weckd_frame *frame, weckd_result *result, float *probabilities,
                    uint32_t classes) {
    weckd_error error = {bundle->message};
    int status = weckd_check_room(bundle, probabilities, classes, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = weckd_look(bundle, frame, result, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = predict(bundle, frame, result, probabilities, classes, error);
    weckd_release_frame(bundle);
    return status;
}

int weckd_classify(weckd_bundle *bundle, const weckd_frame *frame, weckd_result *result, float *probabilities,
                   uint32_t classes) {
    if (result != NULL) {
        *result = (weckd_result){.decision = WECKD_ABSTAIN, .prediction = -1, .ood_score = -1.0};
    }
    if (bundle == NULL || frame == NULL || result == NULL) {
        return WECKD_ERR_ARGUMENT;
    }
    if (!weckd_enter(bundle)) {
        return WECKD_ERR_BUSY;
    }
    int status = classify(bundle, frame, result, probabilities, classes);
    weckd_leave(bundle);
    return status;
}
