/* Counts what is taken from the heap while frames are classified and examined.
 *
 *   no_allocation BUNDLE BACKEND LIBRARY|-    prints "in open N, in calls N"
 * SPDX-License-Identifier: Apache-2.0 */
#include "heap.h"
#include "weckd_edge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(int status, const char *message) {
    printf("status %d: %s\n", status, message);
    return 1;
}

/* Examine the frames but the last, which is refused. */
static int examine(weckd_bundle *bundle, const weckd_frame *frames, int count) {
    weckd_exam_frame added;
    weckd_exam_decision decision;
    double probabilities[WECKD_MAX_CLASSES];
    int status = weckd_exam_begin(bundle);
    for (int i = 0; status == WECKD_OK && i < 10 * count; i++) {
        int wanted = i % count == count - 1 ? WECKD_ERR_GEOMETRY : WECKD_OK;
        int found = weckd_exam_add(bundle, &frames[i % count], &added, NULL, 0);
        status = found == wanted ? weckd_exam_decide(bundle, &decision, probabilities, weckd_contract_of(bundle)->classes) : found;
    }
    return status == WECKD_OK && decision.counted == 0 ? WECKD_ERR_RUN : status == WECKD_OK ? weckd_exam_reset(bundle) : status;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        return 2;
    }
    char message[WECKD_MESSAGE_BYTES] = "";
    weckd_options options = {
        .backend = argv[2],
        .library = strcmp(argv[3], "-") == 0 ? NULL : argv[3],
        .message = message,
        .max_source_width = 64,
        .max_source_height = 48,
    };
    static uint8_t pixels[64 * 48 * 3];
    for (size_t i = 0; i < sizeof pixels; i++) {
        pixels[i] = (uint8_t)(i * 7);
    }
    weckd_bundle *bundle = NULL;
    unsigned long before = heap_calls();
    int status = weckd_open(argv[1], &options, &bundle);
    if (status != WECKD_OK) {
        return fail(status, message);
    }
    unsigned long in_open = heap_calls() - before;
    if (in_open == 0) {
        return fail(0, "nothing was counted while the bundle was opened: the hook is not in place");
    }
    enum { FRAMES = 7 };
    const weckd_frame frames[FRAMES] = {
        {.pixels = pixels, .width = 64, .height = 48, .fit = WECKD_FIT_COVER},
        {.pixels = pixels, .width = 40, .height = 48, .format = WECKD_BGR, .fit = WECKD_FIT_COVER},
        {.pixels = pixels, .width = 64, .height = 48, .format = WECKD_GREY, .fit = WECKD_FIT_COVER},
        {.pixels = pixels, .width = 64, .height = 48, .format = WECKD_NV12, .fit = WECKD_FIT_COVER},
        {.pixels = pixels, .width = 64, .height = 20, .format = WECKD_YUYV, .fit = WECKD_FIT_COVER},
        {.pixels = pixels, .width = weckd_contract_of(bundle)->frame_width, .height = weckd_contract_of(bundle)->frame_height},
        {.pixels = pixels, .width = 64, .height = 48, .fit = WECKD_FIT_EXACT}, /* refused: its message allocates nothing either */
    };
    weckd_result result;
    float probabilities[WECKD_MAX_CLASSES];
    unsigned long ours[2] = {0, 0};
    for (int round = 0; round < 2; round++) { /* a runtime may take memory for its first frame */
        before = heap_calls();
        for (int i = 0; i < 10 * FRAMES; i++) {
            status = weckd_classify(bundle, &frames[i % FRAMES], &result, probabilities, weckd_contract_of(bundle)->classes);
            if (status != (i % FRAMES == FRAMES - 1 ? WECKD_ERR_GEOMETRY : WECKD_OK)) {
                return fail(status, weckd_message(bundle));
            }
        }
        if ((status = examine(bundle, frames, FRAMES)) != WECKD_OK) {
            return fail(status, weckd_message(bundle));
        }
        status = weckd_selftest(bundle, NULL);
        if (status != WECKD_OK && status != WECKD_ERR_SELFTEST) {
            return fail(status, weckd_message(bundle));
        }
        ours[round] = heap_calls() - before;
    }
    weckd_close(bundle);
    printf("in open %lu, in calls %lu then %lu\n", in_open, ours[0], ours[1]);
    return 0;
}
