/* Examine an ear with a camera and a button: a press begins an examination, and one decision ends it.
 *
 *   camera_exam BUNDLE CAMERA KEY.pem LOWEST_VERSION BUTTON [CACHE]
 *
 * CAMERA is a V4L2 device, or a file of NV12 frames of 640 x 480 pixels in its place. BUTTON is an input device, such as
 * /dev/input/event0 of gpio-keys; a FIFO, each line of which is a press; or "-", lines of standard input. CACHE is `cache_dir` of
 * weckd_options, for a faster start. An examination ends when it has seen enough, at the next press, after ten seconds, or when no
 * frame comes any more.
 *
 * One thread reads frames, the other looks at the newest; old ones are dropped and counted. It opens nothing but a bundle that the key
 * has signed, tests itself, tells systemd that it is ready, and feeds the watchdog only while frames come through: a camera or a
 * runtime that hangs has the service started again. SPDX-License-Identifier: Apache-2.0 */
#include "button.h"
#include "camera_file.h"
#include "camera_v4l2.h"
#include "frame_queue.h"
#include "watchdog.h"

#include <weckd_edge.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define WIDTH 640
#define HEIGHT 480
#define TIMEOUT_MS 2000
#define LONGEST_SECONDS 10

static volatile sig_atomic_t stopping;
static camera source;
static camera_file in_place; /* of the camera, where its file is open */
static frame_queue queue;
static button pressed;

/* The examination that is under way, if there is one. */
typedef struct examination {
    weckd_bundle *bundle;
    bool is_running;
    time_t until;
    uint64_t dropped_before;
} examination;

static void stop(int signal_number) {
    (void)signal_number;
    stopping = 1;
}

static void enqueue(const uint8_t *frame, void *context) {
    (void)context;
    frame_queue_put(&queue, frame);
}

static void *read_frames(void *context) {
    (void)context;
    while (!stopping &&
           (in_place.file != NULL ? camera_file_next(&in_place, enqueue, NULL) : camera_next(&source, TIMEOUT_MS, enqueue, NULL))) {
    }
    frame_queue_end(&queue);
    return NULL;
}

static time_t seconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static int fail(weckd_bundle *bundle, int status) {
    (void)fprintf(stderr, "%s: %s\n", weckd_status_text(status), weckd_message(bundle));
    return status;
}

static int begin(examination *exam) {
    int status = weckd_exam_begin(exam->bundle);
    if (status != WECKD_OK) {
        return fail(exam->bundle, status);
    }
    exam->is_running = true;
    exam->until = seconds() + LONGEST_SECONDS;
    exam->dropped_before = frame_queue_dropped(&queue);
    printf("begun\n");
    return WECKD_OK;
}

static int end(examination *exam) {
    weckd_exam_decision found;
    int status = weckd_exam_decide(exam->bundle, &found, NULL, 0);
    if (status != WECKD_OK) {
        return fail(exam->bundle, status);
    }
    if (found.decision == WECKD_ABSTAIN) {
        printf("unable to analyze: %s", weckd_reason_text(found.reason));
    } else {
        printf("%s %.3f", weckd_label(exam->bundle, (uint32_t)found.decision), found.probability);
    }
    printf("; of %llu frames %llu count, %llu repeat another, %llu were refused; %llu were dropped\n", (unsigned long long)found.seen,
           (unsigned long long)found.counted, (unsigned long long)found.repeated, (unsigned long long)found.refused,
           (unsigned long long)(frame_queue_dropped(&queue) - exam->dropped_before));
    for (int reason = 0; reason < WECKD_REASONS; reason++) {
        if (found.refused_by[reason] != 0) {
            printf("  refused: %llu, %s\n", (unsigned long long)found.refused_by[reason], weckd_reason_text((weckd_reason)reason));
        }
    }
    exam->is_running = false;
    return weckd_exam_reset(exam->bundle);
}

static int look(examination *exam, const uint8_t *pixels) {
    const weckd_frame frame = {
        .pixels = pixels,
        .width = source.width,
        .height = source.height,
        .stride_bytes = source.stride_bytes,
        .format = WECKD_NV12,
        .matrix = source.matrix,
        .fit = WECKD_FIT_COVER,
    };
    weckd_exam_frame added;
    int status = weckd_exam_add(exam->bundle, &frame, &added, NULL, 0);
    if (status != WECKD_OK) {
        return fail(exam->bundle, status);
    }
    return added.has_seen_enough || seconds() >= exam->until ? end(exam) : WECKD_OK;
}

static void examine(weckd_bundle *bundle, const char *socket_name) {
    examination exam = {.bundle = bundle};
    for (const uint8_t *pixels = frame_queue_take(&queue); pixels != NULL; pixels = frame_queue_take(&queue)) {
        int status = WECKD_OK;
        if (button_pressed(&pressed)) {
            status = exam.is_running ? end(&exam) : begin(&exam);
        }
        if (status == WECKD_OK && exam.is_running) {
            status = look(&exam, pixels);
        }
        if (status == WECKD_OK) {
            watchdog_tell(socket_name, "WATCHDOG=1");
        }
    }
    if (exam.is_running) { /* the camera is gone: what was seen decides, or is not enough */
        (void)end(&exam);
    }
}

/* Say in the journal which model runs: a Jetson's, for one, may run on its processor instead of its GPU. */
static void tell_model(const weckd_model *model) {
    (void)fprintf(stderr, "runs %s %s in %s%s\n", model->backend, model->backend_version, model->precision,
                  model->chosen_here ? ", chosen on this device" : ", the first of the bundle that runs here");
}

static int run(weckd_bundle *bundle) {
    const char *socket_name = getenv("NOTIFY_SOCKET");
    pthread_t reader;
    if (!frame_queue_open(&queue, source.frame_bytes) || pthread_create(&reader, NULL, read_frames, NULL) != 0) {
        return 1;
    }
    watchdog_tell(socket_name, "READY=1");
    examine(bundle, socket_name);
    (void)pthread_join(reader, NULL);
    frame_queue_close(&queue);
    return stopping ? 0 : 1;
}

static bool open_source(const char *path) {
    struct stat about;
    if (stat(path, &about) == 0 && !S_ISCHR(about.st_mode)) {
        source = (camera){.fd = -1, .width = WIDTH, .height = HEIGHT, .stride_bytes = WIDTH, .frame_bytes = WIDTH * HEIGHT * 3 / 2};
        return camera_file_open(&in_place, path, WIDTH, HEIGHT);
    }
    return camera_open(&source, path, WIDTH, HEIGHT);
}

static void close_source(void) {
    if (in_place.file != NULL) {
        camera_file_close(&in_place);
    } else {
        camera_close(&source);
    }
    button_close(&pressed);
}

int main(int argc, char **argv) {
    static char key[4096];
    char message[WECKD_MESSAGE_BYTES] = "";
    if (argc != 6 && argc != 7) {
        (void)fprintf(stderr, "usage: camera_exam BUNDLE CAMERA KEY.pem LOWEST_VERSION BUTTON [CACHE]\n");
        return 2;
    }
    FILE *file = fopen(argv[3], "rb");
    if (file == NULL || fread(key, 1, sizeof key - 1, file) == 0) {
        perror(argv[3]);
        return 2;
    }
    (void)fclose(file);
    if (!button_open(&pressed, argv[5])) {
        perror(argv[5]);
        return 2;
    }
    if (!open_source(argv[2])) {
        (void)fprintf(stderr, "%s: no camera that sends NV12\n", argv[2]);
        return 1;
    }
    weckd_options options = {
        .public_key_pem = key,
        .min_version = strtoull(argv[4], NULL, 10),
        .cache_dir = argv[6], /* NULL where it is left out */
        .max_source_width = source.width,
        .max_source_height = source.height,
        .message = message,
    };
    weckd_bundle *bundle = NULL;
    int status = weckd_open(argv[1], &options, &bundle);
    if (status == WECKD_OK && (status = weckd_selftest(bundle, NULL)) != WECKD_OK) {
        (void)snprintf(message, sizeof message, "%s", weckd_message(bundle));
    }
    if (status != WECKD_OK) {
        (void)fprintf(stderr, "%s: %s\n", weckd_status_text(status), message);
        weckd_close(bundle);
        close_source();
        return 1;
    }
    tell_model(weckd_model_of(bundle));
    struct sigaction action = {.sa_handler = stop};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    int code = run(bundle);
    weckd_close(bundle);
    close_source();
    return code;
}
