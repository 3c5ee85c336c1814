/* Reads any bytes as the guard's file; a guard that is accepted checks a frame. SPDX-License-Identifier: Apache-2.0 */
#include "guard/guard_file.h"

#include <stdlib.h>
#include <string.h>

#define WIDTH 31
#define HEIGHT 17

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char message[WECKD_MESSAGE_BYTES];
    weckd_guard_state *state = calloc(1, sizeof *state);
    char *text = malloc(size + 1);
    uint8_t *frame = malloc(WIDTH * HEIGHT * 3);
    if (state == NULL || text == NULL || frame == NULL) {
        abort();
    }
    memcpy(text, data, size);
    text[size] = '\0';
    int status = weckd_guard_parse(text, size, &state->guard, (weckd_error){message});
    weckd_quality quality;
    double ood_score = 0;
    for (size_t i = 0; i < WIDTH * HEIGHT * 3; i++) {
        frame[i] = size == 0 ? 0 : data[i % size];
    }
    weckd_guard_set_grid(state, size % 2 == 0 ? WIDTH : HEIGHT, HEIGHT);
    weckd_reason reason = weckd_guard_check(state, frame, WIDTH * 3, size % 3 == 0, &quality, &ood_score); /* all zeros where it was not accepted */
    if (status != WECKD_OK && size == 0 && reason != WECKD_REASON_NONE) {
        abort();
    }
    free(frame);
    free(text);
    free(state);
    return 0;
}
