/* Resizes pixels by area with all instructions that this processor has. SPDX-License-Identifier: Apache-2.0
 *
 * area_resize names                          prints the names of the instructions
 * area_resize resize < CASES > RESULTS       a case: height, width, stride, size as uint32, then rows of `stride` bytes, of
 *                                            which the last ends with its pixels. Its results: size * size * 3 bytes each
 * area_resize time HEIGHT WIDTH SIZE COUNT   prints a line of nanoseconds for each of the instructions */
#include "image/area.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const NAMES[] = {
    [WECKD_AREA_PLAIN] = "plain", [WECKD_AREA_SSE2] = "sse2", [WECKD_AREA_AVX2] = "avx2", [WECKD_AREA_NEON] = "neon"};
#define CODES (sizeof NAMES / sizeof *NAMES)

/* One resize and its memory, of which each block has no byte more than is needed. */
typedef struct resize_job {
    uint32_t height, width, stride, size;
    weckd_area_axis axes[2];
    uint8_t *pixels, *out;
    size_t bytes, out_bytes;
    uint16_t *row;
} resize_job;

static void *room(size_t bytes) {
    void *found = malloc(bytes);
    if (found == NULL) {
        exit(2);
    }
    return found;
}

static void begin(resize_job *job) {
    uint32_t sources[2] = {job->height, job->width};
    for (int axis = 0; axis < 2; axis++) {
        job->axes[axis].first = room(job->size * sizeof(uint32_t));
        job->axes[axis].weights = room((size_t)job->size * weckd_area_taps(sources[axis], job->size) * sizeof(int16_t));
        if (!weckd_area_plan(sources[axis], job->size, &job->axes[axis])) {
            exit(3);
        }
    }
    job->bytes = (size_t)(job->height - 1) * job->stride + (size_t)job->width * 3;
    job->out_bytes = (size_t)job->size * job->size * 3;
    job->pixels = room(job->bytes);
    job->out = room(job->out_bytes);
    job->row = room(weckd_area_row_values(job->width) * sizeof(uint16_t));
}

static void run(const resize_job *job, weckd_area_code code) {
    weckd_area_resize(code, job->pixels, job->stride, &job->axes[0], &job->axes[1], job->row, job->out);
}

static void end(resize_job *job) {
    for (int axis = 0; axis < 2; axis++) {
        free(job->axes[axis].first);
        free(job->axes[axis].weights);
    }
    free(job->pixels);
    free(job->out);
    free(job->row);
}

static int resize(void) {
    resize_job job;
    while (fread(&job.height, sizeof job.height, 4, stdin) == 4) {
        begin(&job);
        if (fread(job.pixels, 1, job.bytes, stdin) != job.bytes) {
            return 4;
        }
        for (size_t code = 0; code < CODES; code++) {
            if (weckd_area_has((weckd_area_code)code)) {
                memset(job.out, 0xa5, job.out_bytes);
                run(&job, (weckd_area_code)code);
                if (fwrite(job.out, 1, job.out_bytes, stdout) != job.out_bytes) {
                    return 4;
                }
            }
        }
        end(&job);
    }
    return 0;
}

static uint64_t now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int take_times(char **numbers) {
    resize_job job = {.height = (uint32_t)strtoul(numbers[0], NULL, 10),
               .width = (uint32_t)strtoul(numbers[1], NULL, 10),
               .size = (uint32_t)strtoul(numbers[2], NULL, 10)};
    job.stride = 3 * job.width;
    begin(&job);
    for (size_t i = 0; i < job.bytes; i++) {
        job.pixels[i] = (uint8_t)(i * i >> 7);
    }
    for (size_t code = 0; code < CODES; code++) {
        if (!weckd_area_has((weckd_area_code)code)) {
            continue;
        }
        printf("%s", NAMES[code]);
        for (int i = 0, count = atoi(numbers[3]); i < count; i++) {
            uint64_t start = now_ns();
            run(&job, (weckd_area_code)code);
            printf(" %llu", (unsigned long long)(now_ns() - start));
        }
        printf("\n");
    }
    end(&job);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "names") == 0) {
        for (size_t code = 0; code < CODES; code++) {
            if (weckd_area_has((weckd_area_code)code)) {
                printf("%s%s\n", NAMES[code], weckd_area_best() == (weckd_area_code)code ? " (best)" : "");
            }
        }
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "resize") == 0) {
        return resize();
    }
    return argc == 6 && strcmp(argv[1], "time") == 0 ? take_times(argv + 2) : 2;
}
