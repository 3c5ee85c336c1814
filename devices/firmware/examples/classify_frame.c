/* Classify one raw RGB frame of the contract's size:
 *   classify_frame BUNDLE FRAME [--key PEM] [--backend NAME] [--library FILE]
 * SPDX-License-Identifier: Apache-2.0 */
#include <weckd_edge.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char key[4096];

static int usage_error(void) {
    (void)fprintf(stderr, "usage: classify_frame BUNDLE FRAME.rgb [--key PEM] [--backend NAME] [--library FILE]\n");
    return 2;
}

static int read_key(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fread(key, 1, sizeof key - 1, file) == 0) {
        perror(path);
        return 2;
    }
    (void)fclose(file);
    return 0;
}

int main(int argc, char **argv) {
    char message[WECKD_MESSAGE_BYTES] = "";
    weckd_options options = {.message = message};
    weckd_bundle *bundle = NULL;
    if (argc < 3 || argc % 2 == 0) {
        return usage_error();
    }
    for (int i = 3; i < argc; i += 2) {
        if (strcmp(argv[i], "--backend") == 0) {
            options.backend = argv[i + 1];
        } else if (strcmp(argv[i], "--library") == 0) {
            options.library = argv[i + 1];
        } else if (strcmp(argv[i], "--key") != 0) {
            return usage_error();
        } else if (read_key(argv[i + 1]) != 0) {
            return 2;
        } else {
            options.public_key_pem = key;
        }
    }
    int status = weckd_open(argv[1], &options, &bundle);
    if (status != WECKD_OK) {
        (void)fprintf(stderr, "%s: %s\n", weckd_status_text(status), message);
        return 1;
    }
    status = weckd_selftest(bundle, NULL); /* once after power-on: a broken device predicts something else */
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
    } else if (result.decision == WECKD_ABSTAIN) {
        printf("unable to analyze: %s\n", weckd_reason_text(result.reason));
    } else {
        const weckd_model *model = weckd_model_of(bundle);
        printf("%s (%.3f) in %.2f ms with %s %s, %s\n", weckd_label(bundle, (uint32_t)result.decision),
               (double)result.probability,
               (double)(result.front_end_ns + result.guard_ns + result.network_ns + result.decision_ns) / 1e6, model->backend,
               model->backend_version, model->precision);
    }
    weckd_close(bundle);
    return status == WECKD_OK ? 0 : 1;
}
