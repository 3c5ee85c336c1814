/* An examination: which frames count, and the decision. devices/runtime/exam.py does the same. SPDX-License-Identifier: Apache-2.0 */
#include "runtime/classify.h"

#include <string.h>

static int out_of_order(weckd_bundle *bundle, const char *what) {
    return weckd_fail((weckd_error){bundle->message}, WECKD_ERR_ORDER, "%s", what);
}

static int begin(weckd_bundle *bundle) {
    weckd_exam *exam = bundle->exam;
    if (exam->is_running) {
        return out_of_order(bundle, "weckd_exam_begin: an examination was begun already; weckd_exam_reset ends it");
    }
    weckd_tally_clear(&exam->tally);
    exam->is_running = true;
    exam->has_last = false;
    exam->repeated = 0;
    memset(exam->refused, 0, sizeof exam->refused);
    return WECKD_OK;
}

int weckd_exam_begin(weckd_bundle *bundle) {
    if (bundle == NULL) {
        return WECKD_ERR_ARGUMENT;
    }
    if (!weckd_enter(bundle)) {
        return WECKD_ERR_BUSY;
    }
    int status = begin(bundle);
    weckd_leave(bundle);
    return status;
}

int weckd_exam_reset(weckd_bundle *bundle) {
    if (bundle == NULL) {
        return WECKD_ERR_ARGUMENT;
    }
    if (!weckd_enter(bundle)) {
        return WECKD_ERR_BUSY;
    }
    bundle->exam->is_running = false;
    weckd_leave(bundle);
    return WECKD_OK;
}

/* Tell whether a frame is nearly the last one that counts over again. */
static bool is_repeated(const weckd_exam *exam, const weckd_guard_state *guard) {
    double total = 0.0;
    if (!exam->rule.has_distance || !exam->has_last || guard == NULL) {
        return false;
    }
    for (size_t i = 0; i < WECKD_GUARD_FEATURES; i++) {
        double difference = guard->white[i] - exam->last[i];
        total += difference * difference;
    }
    return total <= exam->rule.duplicate_distance;
}

static int refuse(weckd_exam *exam, weckd_exam_frame *added, weckd_reason reason) {
    exam->refused[reason]++;
    added->use = WECKD_REFUSED;
    added->reason = reason;
    return WECKD_OK;
}

static void count(weckd_exam *exam, const weckd_bundle *bundle, const weckd_result *result) {
    weckd_tally_add(&exam->tally, bundle->probabilities, result->quality.sharpness);
    exam->has_last = bundle->guard != NULL;
    if (exam->has_last) {
        memcpy(exam->last, bundle->guard->white, sizeof exam->last);
    }
}

/* Use the frame that was looked at. */
static int use_frame(weckd_bundle *bundle, weckd_result *result, weckd_exam_frame *added, float *probabilities, weckd_error error) {
    weckd_exam *exam = bundle->exam;
    if (result->guard != WECKD_REASON_NONE) {
        return refuse(exam, added, result->guard);
    }
    if (is_repeated(exam, bundle->guard)) {
        exam->repeated++;
        added->use = WECKD_REPEATED;
        return WECKD_OK;
    }
    int status = weckd_run_network(bundle, result, error);
    if (status != WECKD_OK) {
        return status;
    }
    added->network_ns = result->network_ns;
    if (result->reason != WECKD_REASON_NONE) {
        return refuse(exam, added, result->reason);
    }
    added->prediction = result->prediction;
    added->probability = result->probability;
    if (probabilities != NULL) {
        memcpy(probabilities, bundle->probabilities, bundle->contract.classes * sizeof *probabilities);
    }
    if (bundle->non_gradeable_labels[result->prediction] != 0) {
        return refuse(exam, added, WECKD_REASON_NON_GRADEABLE_LABEL);
    }
    count(exam, bundle, result);
    return WECKD_OK;
}

static int add(weckd_bundle *bundle, const weckd_frame *frame, weckd_exam_frame *added, float *probabilities, uint32_t classes) {
    weckd_error error = {bundle->message};
    weckd_exam *exam = bundle->exam;
    weckd_result result = {.prediction = -1, .ood_score = -1.0};
    if (!exam->is_running) {
        return out_of_order(bundle, "weckd_exam_add: no examination was begun; call weckd_exam_begin first");
    }
    int status = weckd_check_room(bundle, probabilities, classes, error);
    if (status != WECKD_OK) {
        return status;
    }
    if ((frame->flags & WECKD_IGNORE_GUARD) != 0) {
        return weckd_fail(error, WECKD_ERR_ARGUMENT, "frame: an examination asks the guard about every frame; leave WECKD_IGNORE_GUARD "
                          "out");
    }
    if (probabilities != NULL) {
        memset(probabilities, 0, classes * sizeof *probabilities);
    }
    added->use = WECKD_COUNTED;
    if (exam->tally.is_complete) {
        added->use = WECKD_NOT_NEEDED;
        added->has_seen_enough = 1;
        return WECKD_OK;
    }
    status = weckd_look(bundle, frame, &result, error);
    if (status == WECKD_OK) {
        added->quality = result.quality;
        added->ood_score = result.ood_score;
        added->front_end_ns = result.front_end_ns;
        added->guard_ns = result.guard_ns;
        status = use_frame(bundle, &result, added, probabilities, error);
        weckd_release_frame(bundle);
    }
    added->has_seen_enough = (uint8_t)exam->tally.is_complete;
    return status;
}

int weckd_exam_add(weckd_bundle *bundle, const weckd_frame *frame, weckd_exam_frame *added, float *probabilities, uint32_t classes) {
    if (added != NULL) {
        *added = (weckd_exam_frame){.use = WECKD_REFUSED, .prediction = -1, .ood_score = -1.0};
    }
    if (bundle == NULL || frame == NULL || added == NULL) {
        return WECKD_ERR_ARGUMENT;
    }
    if (!weckd_enter(bundle)) {
        return WECKD_ERR_BUSY;
    }
    int status = add(bundle, frame, added, probabilities, classes);
    if (status != WECKD_OK) {
        added->use = WECKD_REFUSED;
    }
    weckd_leave(bundle);
    return status;
}

static int decide(weckd_bundle *bundle, weckd_exam_decision *decision, double *probabilities, uint32_t classes) {
    const weckd_exam *exam = bundle->exam;
    if (!exam->is_running) {
        return out_of_order(bundle, "weckd_exam_decide: no examination was begun; call weckd_exam_begin first");
    }
    int status = weckd_check_room(bundle, probabilities, classes, (weckd_error){bundle->message});
    if (status != WECKD_OK) {
        return status;
    }
    weckd_tally_finding found = weckd_tally_find(&exam->tally, probabilities);
    decision->prediction = found.best;
    decision->probability = found.probability;
    if (found.best < 0 || exam->tally.counted < exam->rule.min_frames) {
        decision->reason = WECKD_REASON_TOO_FEW_FRAMES;
    } else if (!found.is_decided) {
        decision->reason = WECKD_REASON_LOW_PROBABILITY;
    } else {
        decision->decision = found.best;
    }
    decision->counted = exam->tally.counted;
    decision->repeated = exam->repeated;
    for (size_t i = 0; i < WECKD_REASONS; i++) {
        decision->refused_by[i] = exam->refused[i];
        decision->refused += exam->refused[i];
    }
    decision->seen = decision->counted + decision->repeated + decision->refused;
    decision->has_seen_enough = (uint8_t)exam->tally.is_complete;
    return WECKD_OK;
}

int weckd_exam_decide(weckd_bundle *bundle, weckd_exam_decision *decision, double *probabilities, uint32_t classes) {
    if (decision != NULL) {
        *decision = (weckd_exam_decision){.decision = WECKD_ABSTAIN, .prediction = -1};
    }
    if (bundle == NULL || decision == NULL) {
        return WECKD_ERR_ARGUMENT;
    }
    if (!weckd_enter(bundle)) {
        return WECKD_ERR_BUSY;
    }
    int status = decide(bundle, decision, probabilities, classes);
    weckd_leave(bundle);
    return status;
}
