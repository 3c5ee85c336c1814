/* Any bytes as the guard's file; what is taken looks at a frame. SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <stdlib.h>
#include <string.h>

#define WIDTH 31
#define HEIGHT 17

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char why[WECKD_MESSAGE_BYTES];
    weckd_guard_space *space = calloc(1, sizeof *space);
    char *text = malloc(size + 1);
    uint8_t *frame = malloc(WIDTH * HEIGHT * 3);
    if (space == NULL || text == NULL || frame == NULL) {
        abort();
    }
    memcpy(text, data, size);
    text[size] = '\0';
    int status = weckd_guard_parse(text, size, &space->guard, (weckd_why){why});
    weckd_manifest manifest = {.contract = {.frame_width = WIDTH, .frame_height = HEIGHT}, .is_stretched = size % 2 == 0};
    weckd_quality quality;
    double unfamiliarity = 0;
    for (size_t i = 0; i < WIDTH * HEIGHT * 3; i++) {
        frame[i] = size == 0 ? 0 : data[i % size];
    }
    weckd_guard_place(space, &manifest);
    weckd_reason reason = weckd_guard_look(space, frame, &quality, &unfamiliarity); /* all zeros where it was not taken */
    if (status != WECKD_OK && size == 0 && reason != WECKD_REASON_NONE) {
        abort();
    }
    free(frame);
    free(text);
    free(space);
    return 0;
}
