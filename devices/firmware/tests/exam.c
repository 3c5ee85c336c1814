/* Examines raw frames for a test: for each a line of what is made of it, and a line of the decision so far, floats in hexadecimal.
 *
 *   exam BUNDLE FILE WIDTH HEIGHT FORMAT [TIMES]
 *
 * The frames are examined TIMES times, each after a reset. SPDX-License-Identifier: Apache-2.0 */
#include "weckd_edge.h"

#include <stdio.h>
#include <stdlib.h>

#define BYTES (1u << 22)

static int failed(int status, const char *message) {
    printf("status %d: %s: %s\n", status, weckd_status_text(status), message);
    return 1;
}

static int show_decision(weckd_bundle *bundle) {
    static double probabilities[WECKD_MAX_CLASSES];
    uint32_t classes = weckd_contract_of(bundle)->classes;
    weckd_exam_decision found;
    int status = weckd_exam_decide(bundle, &found, probabilities, classes);
    if (status != WECKD_OK) {
        return failed(status, weckd_message(bundle));
    }
    printf("exam %d %d %d %d %llu %llu %llu %llu %a", found.decision, found.prediction, (int)found.reason, found.has_seen_enough,
           (unsigned long long)found.seen, (unsigned long long)found.counted, (unsigned long long)found.repeated,
           (unsigned long long)found.refused, found.probability);
    for (size_t i = 0; i < WECKD_REASONS; i++) {
        printf(" %llu", (unsigned long long)found.refused_by[i]);
    }
    for (uint32_t i = 0; i < classes; i++) {
        printf(" %a", probabilities[i]);
    }
    printf("\n");
    return 0;
}

static int examine(weckd_bundle *bundle, weckd_frame frame, const uint8_t *data, size_t bytes, size_t each) {
    static float probabilities[WECKD_MAX_CLASSES];
    uint32_t classes = weckd_contract_of(bundle)->classes;
    int status = weckd_exam_begin(bundle);
    int code = status == WECKD_OK ? show_decision(bundle) : failed(status, weckd_message(bundle));
    for (size_t at = 0; code == 0 && at + each <= bytes; at += each) {
        weckd_exam_frame added;
        frame.pixels = data + at;
        status = weckd_exam_add(bundle, &frame, &added, probabilities, classes);
        if (status != WECKD_OK) {
            return failed(status, weckd_message(bundle));
        }
        printf("frame %d %d %d %d %a %a %a", (int)added.use, (int)added.reason, added.prediction, added.has_seen_enough,
               (double)added.probability, added.quality.sharpness, added.ood_score);
        for (uint32_t i = 0; i < classes; i++) {
            printf(" %a", (double)probabilities[i]);
        }
        printf("\n");
        code = show_decision(bundle);
    }
    if (code == 0 && (status = weckd_exam_reset(bundle)) != WECKD_OK) {
        code = failed(status, weckd_message(bundle));
    }
    return code;
}

int main(int argc, char **argv) {
    static uint8_t data[BYTES];
    if (argc < 6) {
        return 2;
    }
    FILE *file = fopen(argv[2], "rb");
    size_t bytes = file == NULL ? 0 : fread(data, 1, sizeof data, file);
    if (bytes == 0) {
        perror(argv[2]);
        return 2;
    }
    (void)fclose(file);
    weckd_frame frame = {.width = (uint32_t)strtoul(argv[3], NULL, 10), .height = (uint32_t)strtoul(argv[4], NULL, 10),
                         .format = (weckd_format)strtoul(argv[5], NULL, 10), .fit = WECKD_FIT_COVER};
    char message[WECKD_MESSAGE_BYTES] = "";
    weckd_options options = {.backend = "echo", .message = message, .max_source_width = frame.width, .max_source_height = frame.height};
    weckd_bundle *bundle = NULL;
    int status = weckd_open(argv[1], &options, &bundle);
    if (status != WECKD_OK) {
        return failed(status, message);
    }
    size_t each = (size_t)frame.width * frame.height * (frame.format == WECKD_NV12 ? 3 : 6) / 2;
    int code = 0;
    for (unsigned long time = argc > 6 ? strtoul(argv[6], NULL, 10) : 1; code == 0 && time > 0; time--) {
        code = examine(bundle, frame, data, bytes, each);
    }
    weckd_close(bundle);
    return code;
}
