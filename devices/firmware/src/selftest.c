/* The golden frames, and the answers they must give. SPDX-License-Identifier: Apache-2.0 */
#include "npy.h"

#include <math.h>
#include <string.h>

static uint32_t likeliest(const float *values, uint32_t classes) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < classes; i++) {
        best = values[i] > values[best] ? i : best;
    }
    return best;
}

/* Compare one answer; false: one of them is no number. */
static bool compare(const weckd_bundle *bundle, weckd_selftest_result *result) {
    for (uint32_t i = 0; i < bundle->contract.classes; i++) {
        if (!isfinite(bundle->answer[i]) || !isfinite(bundle->golden[i])) {
            return false;
        }
        result->max_abs = fmax(result->max_abs, fabs((double)bundle->answer[i] - (double)bundle->golden[i]));
    }
    result->flips += likeliest(bundle->answer, bundle->contract.classes) != likeliest(bundle->golden, bundle->contract.classes);
    return true;
}

static int run_frames(weckd_bundle *bundle, weckd_npy *frames, weckd_npy *answers, weckd_selftest_result *result,
                      weckd_why why) {
    const weckd_contract *contract = &bundle->contract;
    const weckd_npy_type pixels = {"|u1", 1, {contract->frame_height, contract->frame_width, 3}, 3};
    const weckd_npy_type floats = {"<f4", sizeof(float), {contract->classes}, 1};
    int status = weckd_npy_open(frames, bundle->folder_fd, &bundle->golden_frames, &pixels, why);
    status = status != WECKD_OK ? status : weckd_npy_open(answers, bundle->folder_fd, &bundle->golden_answers, &floats, why);
    if (status != WECKD_OK) {
        return status;
    }
    if (frames->count != answers->count) {
        return weckd_fail(why, WECKD_ERR_FORMAT, "selftest: there are not as many golden answers as frames");
    }
    size_t frame_bytes = (size_t)contract->frame_height * contract->frame_width * 3;
    bool numbers = true;
    for (uint64_t i = 0; i < frames->count; i++) {
        status = weckd_npy_next(frames, bundle->frame, frame_bytes, why);
        status = status != WECKD_OK ? status : weckd_npy_next(answers, bundle->golden, contract->classes * sizeof(float), why);
        status = status != WECKD_OK ? status : bundle->backend->run(bundle->session, why);
        if (status != WECKD_OK) {
            return status;
        }
        result->frames++;
        numbers = compare(bundle, result) && numbers;
    }
    status = weckd_npy_end(frames, &bundle->golden_frames, why);
    status = status != WECKD_OK ? status : weckd_npy_end(answers, &bundle->golden_answers, why);
    if (status == WECKD_OK && !numbers) {
        status = weckd_fail(why, WECKD_ERR_SELFTEST, "selftest: the model answered no number");
    }
    return status;
}

static int judge(const weckd_bundle *bundle, const weckd_selftest_result *result, weckd_why why) {
    if (bundle->tolerance < 0) {
        return weckd_fail(why, WECKD_ERR_SELFTEST, "selftest: the bundle names no tolerance for %s", bundle->backend->name);
    }
    if (!(result->max_abs <= bundle->tolerance)) {
        return weckd_fail(why, WECKD_ERR_SELFTEST, "selftest: a probability differs by %.6f, allowed is %g", result->max_abs,
                          bundle->tolerance);
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
    weckd_why why = {bundle->message};
    weckd_npy frames = {.fd = -1}, answers = {.fd = -1};
    own.tolerance = bundle->tolerance;
    int status = run_frames(bundle, &frames, &answers, &own, why);
    weckd_npy_close(&frames);
    weckd_npy_close(&answers);
    status = status != WECKD_OK ? status : judge(bundle, &own, why);
    weckd_leave(bundle);
    if (result != NULL) {
        *result = own;
    }
    return status;
}
