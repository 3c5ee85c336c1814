/* The golden frames, and the probabilities they must have. SPDX-License-Identifier: Apache-2.0 */
#include "runtime/npy.h"

#include <math.h>
#include <string.h>

static uint32_t argmax(const float *values, uint32_t classes) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < classes; i++) {
        best = values[i] > values[best] ? i : best;
    }
    return best;
}

/* Compare one frame's probabilities; false: one of them is not a number. */
static bool compare(const weckd_bundle *bundle, weckd_selftest_result *result) {
    for (uint32_t i = 0; i < bundle->contract.classes; i++) {
        if (!isfinite(bundle->probabilities[i]) || !isfinite(bundle->expected[i])) {
            return false;
        }
        result->max_abs = fmax(result->max_abs, fabs((double)bundle->probabilities[i] - (double)bundle->expected[i]));
    }
    result->flips += argmax(bundle->probabilities, bundle->contract.classes) != argmax(bundle->expected, bundle->contract.classes);
    return true;
}

static int run_frames(weckd_bundle *bundle, weckd_npy *frames, weckd_npy *predictions, weckd_selftest_result *result,
                      weckd_error error) {
    const weckd_contract *contract = &bundle->contract;
    const weckd_npy_type pixels = {"|u1", 1, {contract->frame_height, contract->frame_width, 3}, 3};
    const weckd_npy_type floats = {"<f4", sizeof(float), {contract->classes}, 1};
    int status = weckd_npy_open(frames, bundle->folder_fd, &bundle->golden_frames, &pixels, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = weckd_npy_open(predictions, bundle->folder_fd, &bundle->golden_predictions, &floats, error);
    if (status != WECKD_OK) {
        return status;
    }
    if (frames->count != predictions->count) {
        return weckd_fail(error, WECKD_ERR_FORMAT, "selftest: there are not as many golden predictions as frames");
    }
    size_t frame_bytes = (size_t)contract->frame_height * contract->frame_width * 3;
    const weckd_region frame = {.pixels = bundle->frame, .stride = (size_t)contract->frame_width * 3,
                                .width = contract->frame_width, .height = contract->frame_height, .format = WECKD_RGB};
    bool numbers = true;
    for (uint64_t i = 0; i < frames->count; i++) {
        status = weckd_npy_next(frames, bundle->frame, frame_bytes, error);
        if (status != WECKD_OK) {
            return status;
        }
        status = weckd_npy_next(predictions, bundle->expected, contract->classes * sizeof(float), error);
        if (status != WECKD_OK) {
            return status;
        }
        if (bundle->pixels != NULL) {
            weckd_front_end_pixels(bundle->front_end, &frame, NULL, NULL, bundle->pixels);
        }
        status = bundle->backend->run(bundle->session, error);
        if (status != WECKD_OK) {
            return status;
        }
        result->frames++;
        numbers = compare(bundle, result) && numbers;
    }
    status = weckd_npy_end(frames, &bundle->golden_frames, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = weckd_npy_end(predictions, &bundle->golden_predictions, error);
    if (status != WECKD_OK) {
        return status;
    }
    return numbers ? WECKD_OK : weckd_fail(error, WECKD_ERR_SELFTEST, "selftest: a probability is not a number");
}

static int check_tolerance(const weckd_bundle *bundle, const weckd_selftest_result *result, weckd_error error) {
    const weckd_model *model = &bundle->model;
    if (!(result->max_abs <= model->tolerance)) {
        return weckd_fail(error, WECKD_ERR_SELFTEST, "selftest: with %s in %s a probability differs by %.6f, allowed is %g",
                          model->backend, model->precision, result->max_abs, model->tolerance);
    }
    return WECKD_OK;
}

int weckd_selftest(weckd_bundle *bundle, weckd_selftest_result *result) {
    weckd_selftest_result own = {0};
    if (bundle == NULL) {
        return WECKD_ERR_ARGUMENT;
    }
    if (!weckd_enter(bundle)) {
        return WECKD_ERR_BUSY;
    }
    weckd_error error = {bundle->message};
    weckd_npy frames = {.fd = -1}, predictions = {.fd = -1};
    own.tolerance = bundle->model.tolerance;
    int status = run_frames(bundle, &frames, &predictions, &own, error);
    weckd_npy_close(&frames);
    weckd_npy_close(&predictions);
    if (status == WECKD_OK) {
        status = check_tolerance(bundle, &own, error);
    }
    weckd_leave(bundle);
    if (result != NULL) {
        *result = own;
    }
    return status;
}
