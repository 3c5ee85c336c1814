/* Times the guard alone, nanoseconds of each frame: time_guard FRAMES.rgb WIDTH HEIGHT COUNT
 * SPDX-License-Identifier: Apache-2.0 */
#include "guard/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        return 2;
    }
    weckd_manifest manifest = {.contract = {.frame_width = (uint32_t)strtoul(argv[2], NULL, 10),
                                            .frame_height = (uint32_t)strtoul(argv[3], NULL, 10)}};
    uint32_t side = manifest.contract.frame_width;
    side = manifest.contract.frame_height < side ? manifest.contract.frame_height : side;
    manifest.crop_width = manifest.crop_height = side;
    size_t each = (size_t)manifest.contract.frame_width * manifest.contract.frame_height * 3;
    weckd_guard_state *state = calloc(1, sizeof *state);
    uint8_t *frame = malloc(each + 1);
    FILE *file = fopen(argv[1], "rb");
    if (state == NULL || frame == NULL || file == NULL) {
        return 1;
    }
    for (int i = 0; i < WECKD_GUARD_FEATURES; i++) {
        for (int j = 0; j <= i; j++) {
            state->guard.whitening[i][j] = 1.0 / (1 + i + j);
        }
    }
    weckd_guard_set_grid(state, &manifest);
    double sum = 0;
    for (int i = 0, count = atoi(argv[4]); i < count; i++) {
        if (fread(frame, 1, each, file) != each) {
            rewind(file);
            (void)!fread(frame, 1, each, file);
        }
        weckd_quality quality;
        double ood_score = 0;
        uint64_t start = now_ns();
        (void)weckd_guard_check(state, frame, &quality, &ood_score);
        printf("%llu ", (unsigned long long)(now_ns() - start));
        sum += ood_score;
    }
    printf("\n");
    (void)fclose(file);
    free(frame);
    free(state);
    return sum >= 0 ? 0 : 1;
}
