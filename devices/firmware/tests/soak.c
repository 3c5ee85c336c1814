/* Classifies frames, and opens bundles, many times; prints what the process held before and after.
 *
 *   soak BUNDLE BACKEND LIBRARY|- FRAMES OPENINGS
 *
 * Prints "frames N in S s: heap A to B, resident A to B, descriptors A to B" and such a line of openings, in bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "heap.h"
#include "weckd_edge.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SIDE 16
#define WARM_UP 200 /* a runtime and the C library take some memory once: that is no growth */

typedef struct held {
    long heap;
    size_t resident;
    int descriptors;
    double seconds;
} held;

static held look(void) {
    held now = {.heap = heap_held()};
    unsigned long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%lu %lu", &all, &resident) != 2) {
        perror("/proc/self/statm");
        exit(2);
    }
    (void)fclose(file);
    now.resident = resident * (size_t)sysconf(_SC_PAGESIZE);
    DIR *folder = opendir("/proc/self/fd");
    while (folder != NULL && readdir(folder) != NULL) {
        now.descriptors++;
    }
    (void)closedir(folder);
    struct timespec clock;
    (void)clock_gettime(CLOCK_MONOTONIC, &clock);
    now.seconds = (double)clock.tv_sec + (double)clock.tv_nsec / 1e9;
    return now;
}

static void tell(const char *what, unsigned long count, held from, held to) {
    printf("%s %lu in %.1f s: heap %ld to %ld, resident %zu to %zu, descriptors %d to %d\n", what, count,
           to.seconds - from.seconds, from.heap, to.heap, from.resident, to.resident, from.descriptors, to.descriptors);
}

static void require(int status, const char *message) {
    if (status != WECKD_OK) {
        printf("status %d: %s\n", status, message);
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc != 6) {
        return 2;
    }
    static uint8_t pixels[SIDE * SIDE * 3];
    char message[WECKD_MESSAGE_BYTES] = "";
    weckd_options options = {.backend = argv[2], .library = strcmp(argv[3], "-") == 0 ? NULL : argv[3], .message = message,
                             .max_source_width = SIDE, .max_source_height = SIDE};
    unsigned long frames = strtoul(argv[4], NULL, 10), openings = strtoul(argv[5], NULL, 10);
    weckd_bundle *bundle = NULL;
    require(weckd_open(argv[1], &options, &bundle), message);
    weckd_result result;
    float probabilities[WECKD_MAX_CLASSES];
    held from = {0};
    for (unsigned long i = 0; i < WARM_UP + frames; i++) {
        if (i == WARM_UP) {
            from = look();
        }
        memset(pixels, (int)(i % 251) + 1, sizeof pixels / (1 + i % 3));
        weckd_frame frame = {.pixels = pixels, .width = SIDE, .height = SIDE, .format = (weckd_format)(i % 4),
                             .fit = WECKD_FIT_COVER};
        require(weckd_classify(bundle, &frame, &result, probabilities, weckd_contract_of(bundle)->classes),
                weckd_message(bundle));
    }
    tell("frames", frames, from, look());
    weckd_close(bundle);
    for (unsigned long i = 0; i < WARM_UP / 10 + openings; i++) {
        if (i == WARM_UP / 10) {
            from = look();
        }
        require(weckd_open(argv[1], &options, &bundle), message);
        weckd_frame frame = {.pixels = pixels, .width = SIDE, .height = SIDE, .fit = WECKD_FIT_COVER};
        require(weckd_classify(bundle, &frame, &result, NULL, 0), weckd_message(bundle));
        weckd_close(bundle);
    }
    tell("openings", openings, from, look());
    return 0;
}
