/* Prints what the guard measures in raw frames, a line for each of the instructions that are here and each frame: name,
 * features, quality and score as hexadecimal doubles: guard_features FRAMES WIDTH HEIGHT STRIDE [bgr], frames as crops
 * SPDX-License-Identifier: Apache-2.0 */
#include "guard/guard.h"

#include <stdio.h>
#include <stdlib.h>

static void print_frame(weckd_guard_state *state, const uint8_t *frame, size_t stride, bool is_bgr) {
    double feature[WECKD_GUARD_FEATURES], ood_score = 0;
    weckd_quality quality;
    (void)weckd_guard_check(state, frame, stride, is_bgr, &quality, &ood_score);
    weckd_guard_features(state, feature);
    printf("%s", weckd_instructions_name(state->instructions));
    for (int i = 0; i < WECKD_GUARD_FEATURES; i++) {
        printf(" %a", feature[i]);
    }
    printf(" %a %a %a %a %a\n", quality.sharpness, quality.contrast, quality.dark_fraction, quality.bright_fraction, ood_score);
}

int main(int argc, char **argv) {
    if (argc < 5) {
        return 2;
    }
    uint32_t width = (uint32_t)strtoul(argv[2], NULL, 10), height = (uint32_t)strtoul(argv[3], NULL, 10);
    size_t stride = strtoul(argv[4], NULL, 10), bytes = stride * (height - 1) + (size_t)width * 3; /* none behind the last pixel */
    weckd_guard_state *state = calloc(1, sizeof *state);
    uint8_t *frame = malloc(bytes), rest[1];
    FILE *file = fopen(argv[1], "rb");
    if (state == NULL || frame == NULL || file == NULL) {
        return 1;
    }
    for (int j = 0; j < WECKD_GUARD_FEATURES; j++) {
        for (int i = j; i < WECKD_GUARD_FEATURES; i++) {
            state->guard.whitening[j][i] = 1.0 / (1 + i + 3 * j);
        }
    }
    weckd_guard_set_grid(state, width, height);
    while (fread(frame, 1, bytes, file) == bytes) {
        for (size_t i = stride * height - bytes; i > 0 && fread(rest, 1, 1, file) == 1; i--) {
        }
        for (weckd_instructions code = WECKD_PLAIN; code <= WECKD_NEON; code++) {
            if (weckd_has_instructions(code)) {
                state->instructions = code;
                print_frame(state, frame, stride, argc > 5);
            }
        }
    }
    (void)fclose(file);
    free(frame);
    free(state);
    return 0;
}
