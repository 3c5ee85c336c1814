/* Times the guard alone, nanoseconds of each frame: time_guard FRAMES.rgb WIDTH HEIGHT COUNT [plain | sse2 | avx2 | neon]
 * SPDX-License-Identifier: Apache-2.0 */
#include "guard/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Take the instructions of that name; false: they are not here. */
static bool choose(const char *name, weckd_instructions *instructions) {
    for (*instructions = WECKD_PLAIN; *instructions < WECKD_NEON; (*instructions)++) {
        if (strcmp(name, weckd_instructions_name(*instructions)) == 0) {
            break;
        }
    }
    return weckd_has_instructions(*instructions);
}

int main(int argc, char **argv) {
    if (argc < 5) {
        return 2;
    }
    uint32_t width = (uint32_t)strtoul(argv[2], NULL, 10), height = (uint32_t)strtoul(argv[3], NULL, 10);
    uint32_t side = width < height ? width : height;
    size_t stride = (size_t)width * 3, each = stride * height;
    size_t crop = (height - side) / 2 * stride + (size_t)((width - side) / 2) * 3;
    weckd_guard_state *state = calloc(1, sizeof *state);
    uint8_t *frame = malloc(each + 1);
    FILE *file = fopen(argv[1], "rb");
    if (state == NULL || frame == NULL || file == NULL) {
        return 1;
    }
    for (int i = 0; i < WECKD_GUARD_FEATURES; i++) {
        for (int j = 0; j <= i; j++) {
            state->guard.whitening[j][i] = 1.0 / (1 + i + j);
        }
    }
    weckd_guard_set_grid(state, side, side);
    if (argc > 5 && !choose(argv[5], &state->instructions)) {
        return 3;
    }
    double sum = 0;
    for (int i = 0, count = atoi(argv[4]); i < count; i++) {
        if (fread(frame, 1, each, file) != each) {
            rewind(file);
            (void)!fread(frame, 1, each, file);
        }
        weckd_quality quality;
        double ood_score = 0;
        uint64_t start = now_ns();
        (void)weckd_guard_check(state, frame + crop, stride, false, &quality, &ood_score);
        printf("%llu ", (unsigned long long)(now_ns() - start));
        sum += ood_score;
    }
    printf("\n");
    (void)fclose(file);
    free(frame);
    free(state);
    return sum >= 0 ? 0 : 1;
}
