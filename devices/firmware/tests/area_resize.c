/* Resizes pixels by area with all instructions that this processor has. SPDX-License-Identifier: Apache-2.0
 *
 * area_resize names                          prints the names of the instructions
 * area_resize resize < CASES > RESULTS       a case: height, width, stride, new height, new width as uint32, then rows of
 *                                            `stride` bytes, of which the last ends with its pixels. Its results: new height *
 *                                            new width * 3 bytes each
 * area_resize time HEIGHT WIDTH SIZE COUNT   prints a line of nanoseconds for each of the instructions */
#include "image/area.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const NAMES[] = {
    [WECKD_PLAIN] = "plain", [WECKD_SSE2] = "sse2", [WECKD_AVX2] = "avx2", [WECKD_NEON] = "neon"};
#define CODES (sizeof NAMES / sizeof *NAMES)

/* One resize and its memory, of which each block has no byte more than is needed. */
typedef struct resize_job {
    uint32_t height, width, stride, sizes[2];
    weckd_area_axis axes[2];
    uint8_t *pixels, *out;
    const uint8_t **rows;
    size_t bytes, out_bytes;
    uint16_t *sums;
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
        uint32_t size = job->sizes[axis];
        job->axes[axis].spans = room(size * sizeof(weckd_area_span));
        job->axes[axis].weights = room((size_t)size * weckd_area_taps(sources[axis], size) * sizeof(int16_t));
        if (!weckd_area_plan(sources[axis], size, 0, size, &job->axes[axis])) {
            exit(3);
        }
    }
    job->bytes = (size_t)(job->height - 1) * job->stride + (size_t)job->width * 3;
    job->out_bytes = (size_t)job->sizes[0] * job->sizes[1] * 3;
    job->pixels = room(job->bytes);
    job->out = room(job->out_bytes);
    job->rows = room(job->axes[0].taps * sizeof(const uint8_t *));
    job->sums = room(((size_t)job->width * 3 + WECKD_AREA_SLACK) * sizeof(uint16_t));
    memset(job->sums, 0xa5, ((size_t)job->width * 3 + WECKD_AREA_SLACK) * sizeof(uint16_t));
}

static void run(const resize_job *job, weckd_instructions code) {
    const weckd_area_axis *down = &job->axes[0];
    for (uint32_t y = 0; y < down->length; y++) {
        weckd_area_span span = down->spans[y];
        for (uint32_t k = 0; k < span.count; k++) {
            job->rows[k] = job->pixels + (size_t)(span.first + k) * job->stride;
        }
        weckd_area_rows(code, job->rows, down->weights + (size_t)y * down->taps, span.count, (size_t)job->width * 3, job->sums);
        weckd_area_columns(code, job->sums, &job->axes[1], job->out + (size_t)y * job->axes[1].length * 3);
    }
}

static void end(resize_job *job) {
    for (int axis = 0; axis < 2; axis++) {
        free(job->axes[axis].spans);
        free(job->axes[axis].weights);
    }
    free(job->pixels);
    free(job->out);
    free(job->rows);
    free(job->sums);
}

static int resize(void) {
    resize_job job;
    while (fread(&job.height, sizeof job.height, 5, stdin) == 5) {
        begin(&job);
        if (fread(job.pixels, 1, job.bytes, stdin) != job.bytes) {
            return 4;
        }
        for (size_t code = 0; code < CODES; code++) {
            if (weckd_has_instructions((weckd_instructions)code)) {
                memset(job.out, 0xa5, job.out_bytes);
                run(&job, (weckd_instructions)code);
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
    resize_job job = {.height = (uint32_t)strtoul(numbers[0], NULL, 10), .width = (uint32_t)strtoul(numbers[1], NULL, 10)};
    job.sizes[0] = job.sizes[1] = (uint32_t)strtoul(numbers[2], NULL, 10);
    job.stride = 3 * job.width;
    begin(&job);
    for (size_t i = 0; i < job.bytes; i++) {
        job.pixels[i] = (uint8_t)(i * i >> 7);
    }
    for (size_t code = 0; code < CODES; code++) {
        if (!weckd_has_instructions((weckd_instructions)code)) {
            continue;
        }
        printf("%s", NAMES[code]);
        for (int i = 0, count = atoi(numbers[3]); i < count; i++) {
            uint64_t start = now_ns();
            run(&job, (weckd_instructions)code);
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
            if (weckd_has_instructions((weckd_instructions)code)) {
                printf("%s%s\n", NAMES[code], weckd_best_instructions() == (weckd_instructions)code ? " (best)" : "");
            }
        }
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "resize") == 0) {
        return resize();
    }
    return argc == 6 && strcmp(argv[1], "time") == 0 ? take_times(argv + 2) : 2;
}
