/* Classifies raw frames for a test: one line a frame, every float in hexadecimal.
 *
 *   runner BUNDLE [--backend B] [--precision P] [--library L] [--key PEM] [--min-version N] [--ignore-guard 1] [--cache DIR] [--source WxH] COMMAND...
 *   check | selftest | frames FILE WIDTH HEIGHT FORMAT FIT [X Y W H] | guard FILE WIDTH HEIGHT FORMAT FIT | bench FILE COUNT [own] |
 *   parts FILE COUNT WIDTH HEIGHT | first FILE
 *
 * guard: prints also what the input guard measured; with --ignore-guard 1 a frame that it rejects is classified too.
 * SPDX-License-Identifier: Apache-2.0 */
#include "weckd_edge.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool ignore_guard, show_guard;

static int failed(int status, const char *message) {
    printf("status %d: %s: %s\n", status, weckd_status_text(status), message);
    return 1;
}

static uint64_t now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static char *slurp(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(2);
    }
    long size = ftell(file);
    rewind(file);
    char *data = malloc((size_t)size + 1);
    if (data == NULL || fread(data, 1, (size_t)size, file) != (size_t)size) {
        perror(path);
        exit(2);
    }
    data[size] = '\0';
    (void)fclose(file);
    *bytes = (size_t)size;
    return data;
}

static int number(const char *text) { return (int)strtol(text, NULL, 10); }

static void show(const weckd_bundle *bundle, const weckd_result *result, const float *probabilities) {
    printf("%d %d %d", result->decision, result->prediction, (int)result->reason);
    if (show_guard) {
        printf(" %d %a %a %a %a %a\n", (int)result->guard, result->ood_score, result->quality.sharpness,
               result->quality.contrast, result->quality.dark_fraction, result->quality.bright_fraction);
        return;
    }
    for (uint32_t i = 0; i < weckd_contract_of(bundle)->classes; i++) {
        printf(" %a", (double)probabilities[i]);
    }
    printf("\n");
}

static int run_frames(weckd_bundle *bundle, char **rest, int count) {
    size_t bytes = 0;
    char *data = slurp(rest[0], &bytes);
    weckd_frame frame = {
        .width = (uint32_t)number(rest[1]),
        .height = (uint32_t)number(rest[2]),
        .format = (weckd_format)number(rest[3]),
        .fit = (weckd_fit)number(rest[4]),
        .flags = ignore_guard ? WECKD_IGNORE_GUARD : 0,
    };
    if (count >= 9) {
        frame.roi_x = (uint32_t)number(rest[5]);
        frame.roi_y = (uint32_t)number(rest[6]);
        frame.roi_width = (uint32_t)number(rest[7]);
        frame.roi_height = (uint32_t)number(rest[8]);
    }
    size_t each = (size_t)frame.width * frame.height;
    static const size_t HALVES[] = {[WECKD_RGB] = 6, [WECKD_BGR] = 6, [WECKD_GREY] = 2, [WECKD_NV12] = 3, [WECKD_YUYV] = 4};
    each = each * HALVES[frame.format] / 2; /* bytes a pixel, times 2 */
    float *probabilities = calloc(weckd_contract_of(bundle)->classes, sizeof *probabilities);
    int status = WECKD_OK;
    for (size_t at = 0; status == WECKD_OK && at + each <= bytes; at += each) {
        weckd_result result;
        frame.pixels = (const uint8_t *)data + at;
        status = weckd_classify(bundle, &frame, &result, probabilities, weckd_contract_of(bundle)->classes);
        if (status == WECKD_OK) {
            show(bundle, &result, probabilities);
        }
    }
    free(probabilities);
    free(data);
    return status == WECKD_OK ? 0 : failed(status, weckd_message(bundle));
}

/* Times of single frames in turn, as one line of nanoseconds; `own`: the camera writes into the block's frame. */
static int bench(weckd_bundle *bundle, char **rest, int count) {
    size_t bytes = 0;
    char *data = slurp(rest[0], &bytes);
    const weckd_contract *contract = weckd_contract_of(bundle);
    size_t each = (size_t)contract->frame_width * contract->frame_height * 3, frames = bytes / each;
    weckd_frame frame = {.width = contract->frame_width, .height = contract->frame_height};
    weckd_result result;
    float probabilities[WECKD_MAX_CLASSES];
    bool own = count > 2 && strcmp(rest[2], "own") == 0;
    for (int i = -20; i < number(rest[1]); i++) {
        frame.pixels = (const uint8_t *)data + (size_t)(i + 20) % frames * each;
        if (own) {
            memcpy(weckd_frame_buffer(bundle), frame.pixels, each);
            frame.pixels = weckd_frame_buffer(bundle);
        }
        uint64_t start = now_ns();
        if (weckd_classify(bundle, &frame, &result, probabilities, contract->classes) != WECKD_OK) {
            return failed(-1, weckd_message(bundle));
        }
        if (i >= 0) {
            printf("%llu ", (unsigned long long)(now_ns() - start));
        }
    }
    printf("\n");
    free(data);
    return 0;
}

/* Times of the parts of single RGB frames of a size in turn: a line of nanoseconds for each part, and one for the whole call. */
static int time_parts(weckd_bundle *bundle, char **rest) {
    enum { PARTS = 5, WARMUP = 20 };
    static const char *const NAMES[PARTS] = {"whole", "front_end", "guard", "network", "decision"};
    size_t bytes = 0, count = (size_t)number(rest[1]);
    char *data = slurp(rest[0], &bytes);
    weckd_frame frame = {.width = (uint32_t)number(rest[2]), .height = (uint32_t)number(rest[3]), .fit = WECKD_FIT_COVER,
                         .flags = WECKD_IGNORE_GUARD};
    size_t each = (size_t)frame.width * frame.height * 3, frames = bytes / each;
    uint64_t *times = calloc(PARTS * count, sizeof *times);
    if (frames == 0 || times == NULL) {
        return 2;
    }
    for (size_t i = 0; i < count + WARMUP; i++) {
        weckd_result result;
        frame.pixels = (const uint8_t *)data + i % frames * each;
        uint64_t start = now_ns();
        if (weckd_classify(bundle, &frame, &result, NULL, 0) != WECKD_OK) {
            return failed(-1, weckd_message(bundle));
        }
        const uint64_t found[PARTS] = {now_ns() - start, result.front_end_ns, result.guard_ns, result.network_ns, result.decision_ns};
        for (size_t part = 0; part < PARTS && i >= WARMUP; part++) {
            times[part * count + i - WARMUP] = found[part];
        }
    }
    for (size_t part = 0; part < PARTS; part++) {
        printf("%s", NAMES[part]);
        for (size_t i = 0; i < count; i++) {
            printf(" %llu", (unsigned long long)times[part * count + i]);
        }
        printf("\n");
    }
    free(times);
    free(data);
    return 0;
}

int main(int argc, char **argv) {
    uint64_t start = now_ns();
    char message[WECKD_MESSAGE_BYTES] = "";
    weckd_options options = {.message = message};
    size_t key_bytes = 0;
    char *key = NULL;
    int at = 2;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        const char *value = argv[at + 1];
        if (strcmp(argv[at], "--backend") == 0) {
            options.backend = value;
        } else if (strcmp(argv[at], "--precision") == 0) {
            options.precision = value;
        } else if (strcmp(argv[at], "--library") == 0) {
            options.library = value;
        } else if (strcmp(argv[at], "--cache") == 0) {
            options.cache_dir = value;
        } else if (strcmp(argv[at], "--min-version") == 0) {
            options.min_version = strtoull(value, NULL, 10);
        } else if (strcmp(argv[at], "--key") == 0) {
            options.public_key_pem = key = slurp(value, &key_bytes);
        } else if (strcmp(argv[at], "--ignore-guard") == 0) {
            ignore_guard = true;
        } else if (strcmp(argv[at], "--source") == 0) {
            options.max_source_width = (uint32_t)number(value);
            options.max_source_height = (uint32_t)number(strchr(value, 'x') + 1);
        }
    }
    if (at >= argc) {
        return 2;
    }
    if (strcmp(argv[at], "check") == 0) {
        weckd_contract contract;
        int status = weckd_check(argv[1], &options, &contract);
        if (status == WECKD_OK) {
            printf("ok signature %d version %llu model %llu\n", (int)contract.signature, (unsigned long long)contract.version,
                   (unsigned long long)contract.model_bytes);
        }
        free(key);
        return status == WECKD_OK ? 0 : failed(status, message);
    }
    weckd_bundle *bundle = NULL;
    int status = weckd_open(argv[1], &options, &bundle);
    free(key);
    if (status != WECKD_OK || message[0] != '\0') { /* only a failure has a message */
        return failed(status, message);
    }
    int code = 2;
    if (strcmp(argv[at], "selftest") == 0) {
        weckd_selftest_result result;
        status = weckd_selftest(bundle, &result);
        const weckd_model *model = weckd_model_of(bundle);
        printf("frames %u flips %u max_abs %a tolerance %g backend %s %s %s%s%s\n", result.frames, result.flips, result.max_abs,
               result.tolerance, model->backend, model->backend_version, model->precision,
               model->chosen_here ? " chosen here" : "", model->takes_frame ? " takes the frame" : "");
        code = status == WECKD_OK ? 0 : failed(status, weckd_message(bundle));
    } else if ((strcmp(argv[at], "frames") == 0 || strcmp(argv[at], "guard") == 0) && argc - at > 5) {
        show_guard = argv[at][0] == 'g';
        code = run_frames(bundle, argv + at + 1, argc - at - 1);
    } else if (strcmp(argv[at], "bench") == 0 && argc - at > 2) {
        code = bench(bundle, argv + at + 1, argc - at - 1);
    } else if (strcmp(argv[at], "parts") == 0 && argc - at > 4) {
        code = time_parts(bundle, argv + at + 1);
    } else if (strcmp(argv[at], "first") == 0 && argc - at > 1) {
        size_t bytes = 0;
        char *data = slurp(argv[at + 1], &bytes);
        const weckd_contract *contract = weckd_contract_of(bundle);
        weckd_frame frame = {.pixels = (const uint8_t *)data, .width = contract->frame_width, .height = contract->frame_height};
        weckd_result result;
        status = weckd_classify(bundle, &frame, &result, NULL, 0);
        printf("%llu\n", (unsigned long long)(now_ns() - start));
        code = status == WECKD_OK ? 0 : failed(status, weckd_message(bundle));
        free(data);
    }
    weckd_close(bundle);
    return code;
}
