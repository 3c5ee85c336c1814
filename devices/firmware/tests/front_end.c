/* Makes the network's pixels of frames of any size and format. SPDX-License-Identifier: Apache-2.0
 *
 * front_end make < CASES > RESULTS     a case: the numbers of frame_case as uint32, then the bytes of the pixels and of the
 *                                      chroma. Its result: 0 as int32, the network's pixels, the crop, and the guard's features as
 *                                      doubles where the crop is large enough for one; or a negative status and nothing else
 * front_end time FORMAT WIDTH HEIGHT FRAME_WIDTH FRAME_HEIGHT SIZE COUNT
 *                                      prints a line of nanoseconds for the front end, and one for the guard's part of the pass;
 *                                      the centred square of the frame becomes SIZE x SIZE pixels */
#include "image/front_end.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Numbers of one case. */
typedef struct frame_case {
    uint32_t format, matrix, width, height, stride, chroma_stride, roi_x, roi_y, roi_width, roi_height;
    weckd_front_end_spec spec;
    uint32_t bytes, chroma_bytes;
} frame_case;

static void *room(size_t bytes) {
    void *found = malloc(bytes == 0 ? 1 : bytes);
    if (found == NULL) {
        exit(2);
    }
    return found;
}

static weckd_front_end *open_front_end(const weckd_front_end_spec *spec) {
    size_t bytes = weckd_front_end_bytes(spec);
    void *memory = aligned_alloc(64, bytes);
    if (bytes == 0 || memory == NULL) {
        exit(3);
    }
    return weckd_front_end_init(spec, memory);
}

static uint8_t *read_bytes(size_t bytes) {
    uint8_t *data = room(bytes);
    if (fread(data, 1, bytes, stdin) != bytes) {
        exit(4);
    }
    return data;
}

static void write_bytes(const void *data, size_t bytes) {
    if (fwrite(data, 1, bytes, stdout) != bytes) {
        exit(4);
    }
}

static void make_case(weckd_front_end *front_end, const weckd_front_end_spec *spec, const weckd_region *region) {
    size_t pixel_bytes = (size_t)spec->network_width * spec->network_height * 3, crop_bytes = (size_t)spec->width * spec->height * 3;
    uint8_t *pixels = room(pixel_bytes), *crop = room(crop_bytes);
    weckd_guard_state *guard = room(sizeof *guard);
    bool is_guarded = spec->width >= 3 && spec->height >= 3;
    memset(guard, 0, sizeof *guard);
    weckd_guard_set_grid(guard, is_guarded ? spec->width : 3, is_guarded ? spec->height : 3);
    weckd_front_end_crop(front_end, region, crop);
    weckd_front_end_pixels(front_end, region, is_guarded ? guard : NULL, NULL, pixels);
    write_bytes(pixels, pixel_bytes);
    write_bytes(crop, crop_bytes);
    if (is_guarded) {
        weckd_quality quality;
        double score, features[WECKD_GUARD_FEATURES];
        (void)weckd_guard_finish(guard, &quality, &score);
        weckd_guard_features(guard, features);
        write_bytes(features, sizeof features);
    }
    free(pixels);
    free(crop);
    free(guard);
}

static int make(void) {
    frame_case job;
    char message[WECKD_MESSAGE_BYTES];
    while (fread(&job, sizeof job, 1, stdin) == 1) {
        uint8_t *pixels = read_bytes(job.bytes), *chroma = read_bytes(job.chroma_bytes);
        weckd_frame frame = {
            .pixels = pixels, .chroma = chroma, .width = job.width, .height = job.height, .stride_bytes = job.stride,
            .chroma_stride_bytes = job.chroma_stride, .format = (weckd_format)job.format, .matrix = (weckd_matrix)job.matrix,
            .roi_x = job.roi_x, .roi_y = job.roi_y, .roi_width = job.roi_width, .roi_height = job.roi_height,
        };
        weckd_front_end *front_end = open_front_end(&job.spec);
        weckd_region region;
        int32_t status = weckd_frame_region(&frame, &region, (weckd_error){message});
        if (status == WECKD_OK && !weckd_front_end_takes(front_end, &region)) {
            status = WECKD_ERR_GEOMETRY;
        }
        write_bytes(&status, sizeof status);
        if (status == WECKD_OK) {
            make_case(front_end, &job.spec, &region);
        }
        free(front_end);
        free(pixels);
        free(chroma);
    }
    return 0;
}

static uint64_t now_ns(void *context) {
    (void)context;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void print_times(const char *name, const uint64_t *times, size_t count) {
    printf("%s", name);
    for (size_t i = 0; i < count; i++) {
        printf(" %llu", (unsigned long long)times[i]);
    }
    printf("\n");
}

static int take_times(char **texts) {
    uint32_t number[7];
    for (int i = 0; i < 7; i++) {
        number[i] = (uint32_t)strtoul(texts[i], NULL, 10);
    }
    uint32_t side = number[3] < number[4] ? number[3] : number[4], count = number[6];
    weckd_front_end_spec spec = {.frame_width = number[3], .frame_height = number[4], .left = (number[3] - side) / 2,
                                 .top = (number[4] - side) / 2, .width = side, .height = side, .network_width = number[5],
                                 .network_height = number[5], .max_source_width = number[1], .max_source_height = number[2]};
    size_t bytes = (size_t)number[1] * number[2] * 3;
    weckd_frame frame = {.pixels = room(bytes), .width = number[1], .height = number[2], .format = (weckd_format)number[0]};
    uint8_t *filled = (uint8_t *)(uintptr_t)frame.pixels, *pixels = room((size_t)number[5] * number[5] * 3);
    for (size_t i = 0; i < bytes; i++) {
        filled[i] = (uint8_t)(i * i >> 7);
    }
    char message[WECKD_MESSAGE_BYTES];
    weckd_region region;
    if (weckd_frame_region(&frame, &region, (weckd_error){message}) != WECKD_OK) {
        return 4;
    }
    weckd_front_end *front_end = open_front_end(&spec);
    static weckd_guard_state guard;
    weckd_guard_set_grid(&guard, side, side);
    uint64_t *times = room(2 * count * sizeof *times), *guard_times = times + count;
    for (uint32_t i = 0; i < count; i++) {
        weckd_stopwatch stopwatch = {.now_ns = now_ns};
        uint64_t start = now_ns(NULL);
        weckd_front_end_pixels(front_end, &region, &guard, &stopwatch, pixels);
        times[i] = now_ns(NULL) - start - stopwatch.guard_ns;
        guard_times[i] = stopwatch.guard_ns;
    }
    print_times("front_end", times, count);
    print_times("guard", guard_times, count);
    free(times);
    free(front_end);
    free(filled);
    free(pixels);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "make") == 0) {
        return make();
    }
    return argc == 9 && strcmp(argv[1], "time") == 0 ? take_times(argv + 2) : 2;
}
