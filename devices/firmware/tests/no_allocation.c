/* Counts what is taken from the heap while frames are answered. This program's own malloc stands in front of the C
 * library's for every library in the process, so that nobody's call is missed.
 *
 *   no_allocation BUNDLE BACKEND LIBRARY|-    prints "in open N, in calls N"
 * SPDX-License-Identifier: Apache-2.0 */
#include "weckd_edge.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *old, size_t bytes);
extern void *__libc_memalign(size_t align, size_t bytes);

#define SEEN __attribute__((visibility("default"))) /* or the libraries would not find these */

static atomic_ulong taken;

SEEN void *malloc(size_t bytes) {
    atomic_fetch_add(&taken, 1);
    return __libc_malloc(bytes);
}

SEEN void *calloc(size_t count, size_t bytes) {
    atomic_fetch_add(&taken, 1);
    return __libc_calloc(count, bytes);
}

SEEN void *realloc(void *old, size_t bytes) {
    atomic_fetch_add(&taken, 1);
    return __libc_realloc(old, bytes);
}

SEEN void *aligned_alloc(size_t align, size_t bytes) {
    atomic_fetch_add(&taken, 1);
    return __libc_memalign(align, bytes);
}

SEEN int posix_memalign(void **to, size_t align, size_t bytes) {
    atomic_fetch_add(&taken, 1);
    *to = __libc_memalign(align, bytes);
    return *to == NULL ? 12 : 0;
}

static int fail(int status, const char *why) {
    printf("status %d: %s\n", status, why);
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        return 2;
    }
    char why[WECKD_MESSAGE_BYTES] = "";
    weckd_options options = {
        .backend = argv[2],
        .library = strcmp(argv[3], "-") == 0 ? NULL : argv[3],
        .message = why,
        .max_source_width = 64,
        .max_source_height = 48,
    };
    static uint8_t pixels[64 * 48 * 3];
    for (size_t i = 0; i < sizeof pixels; i++) {
        pixels[i] = (uint8_t)(i * 7);
    }
    weckd_bundle *bundle = NULL;
    unsigned long before = atomic_load(&taken);
    int status = weckd_open(argv[1], &options, &bundle);
    if (status != WECKD_OK) {
        return fail(status, why);
    }
    unsigned long in_open = atomic_load(&taken) - before;
    if (in_open == 0) {
        return fail(0, "nothing was counted while the bundle was opened: the hook is not in place");
    }
    weckd_frame frames[4] = {
        {.pixels = pixels, .width = 64, .height = 48, .fit = WECKD_FIT_COVER},
        {.pixels = pixels, .width = 64, .height = 48, .format = WECKD_GREY, .fit = WECKD_FIT_COVER},
        {.pixels = pixels, .width = 64, .height = 48, .format = WECKD_NV12, .fit = WECKD_FIT_COVER},
        {.pixels = pixels, .width = 64, .height = 48, .fit = WECKD_FIT_EXACT}, /* refused: its message allocates nothing either */
    };
    weckd_result result;
    float probabilities[WECKD_MAX_CLASSES];
    unsigned long ours[2] = {0, 0};
    for (int round = 0; round < 2; round++) { /* a runtime may take memory for its first frame */
        before = atomic_load(&taken);
        for (int i = 0; i < 40; i++) {
            status = weckd_classify(bundle, &frames[i % 4], &result, probabilities, weckd_contract_of(bundle)->classes);
            if (status != (i % 4 == 3 ? WECKD_ERR_GEOMETRY : WECKD_OK)) {
                return fail(status, weckd_message(bundle));
            }
        }
        status = weckd_selftest(bundle, NULL);
        if (status != WECKD_OK && status != WECKD_ERR_SELFTEST) {
            return fail(status, weckd_message(bundle));
        }
        ours[round] = atomic_load(&taken) - before;
    }
    weckd_close(bundle);
    printf("in open %lu, in calls %lu then %lu\n", in_open, ours[0], ours[1]);
    return 0;
}
