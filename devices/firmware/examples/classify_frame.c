/* Answer one raw RGB frame of the contract's size: classify_frame BUNDLE FRAME [KEY.pem [LIBRARY]]
 * SPDX-License-Identifier: Apache-2.0 */
#include <weckd_edge.h>

#include <stdio.h>
#include <stdlib.h>

static char key[4096];

int main(int argc, char **argv) {
    char why[WECKD_MESSAGE_BYTES] = "";
    weckd_options options = {.message = why, .library = argc > 4 ? argv[4] : NULL};
    weckd_bundle *bundle = NULL;
    if (argc < 3) {
        (void)fprintf(stderr, "usage: classify_frame BUNDLE FRAME.rgb [KEY.pem [LIBRARY]]\n");
        return 2;
    }
    if (argc > 3 && argv[3][0] != '\0') {
        FILE *file = fopen(argv[3], "rb");
        if (file == NULL || fread(key, 1, sizeof key - 1, file) == 0) {
            perror(argv[3]);
            return 2;
        }
        (void)fclose(file);
        options.public_key_pem = key;
    }
    int status = weckd_open(argv[1], &options, &bundle);
    if (status != WECKD_OK) {
        (void)fprintf(stderr, "%s: %s\n", weckd_status_text(status), why);
        return 1;
    }
    status = weckd_selftest(bundle, NULL); /* once after power-on: a broken device answers otherwise */
    if (status != WECKD_OK) {
        (void)fprintf(stderr, "%s: %s\n", weckd_status_text(status), weckd_message(bundle));
        weckd_close(bundle);
        return 1;
    }
    const weckd_contract *contract = weckd_contract_of(bundle);
    size_t bytes = (size_t)contract->frame_width * contract->frame_height * 3;
    FILE *file = fopen(argv[2], "rb");
    if (file == NULL || fread(weckd_frame_buffer(bundle), 1, bytes, file) != bytes) {
        (void)fprintf(stderr, "%s: expected %zu bytes of RGB\n", argv[2], bytes);
        weckd_close(bundle);
        return 1;
    }
    (void)fclose(file);
    weckd_frame frame = {
        .pixels = weckd_frame_buffer(bundle), .width = contract->frame_width, .height = contract->frame_height};
    weckd_result result;
    float probabilities[WECKD_MAX_CLASSES];
    status = weckd_classify(bundle, &frame, &result, probabilities, contract->classes);
    if (status != WECKD_OK) {
        (void)fprintf(stderr, "%s: %s\n", weckd_status_text(status), weckd_message(bundle));
    } else if (result.decision == WECKD_UNABLE) {
        printf("unable to analyze: %s\n", weckd_reason_text(result.reason));
    } else {
        printf("%s (%.3f) in %.2f ms\n", weckd_label(bundle, (uint32_t)result.decision), (double)result.probability,
               (double)(result.fit_ns + result.guard_ns + result.run_ns + result.decide_ns) / 1e6);
    }
    weckd_close(bundle);
    return status == WECKD_OK ? 0 : 1;
}
