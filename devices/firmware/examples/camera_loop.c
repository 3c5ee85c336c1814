/* Classify a camera's frames as they come: one thread reads them, the other classifies the newest; old ones are dropped.
 *
 *   camera_loop BUNDLE /dev/video0 KEY.pem LOWEST_VERSION
 *
 * It opens nothing but a bundle that the key has signed, tests itself, tells systemd that it is ready, and feeds the
 * watchdog only while frames are classified: a camera or a runtime that hangs has the service started again.
 * SPDX-License-Identifier: Apache-2.0 */
#include "camera_v4l2.h"
#include "frame_queue.h"
#include "watchdog.h"

#include <weckd_edge.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define WIDTH 640
#define HEIGHT 480
#define TIMEOUT_MS 2000

static volatile sig_atomic_t stopping;
static camera source;
static frame_queue queue;

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
    while (!stopping && camera_next(&source, TIMEOUT_MS, enqueue, NULL)) {
    }
    frame_queue_end(&queue);
    return NULL;
}

static void classify_frames(weckd_bundle *bundle, const char *socket_name) {
    for (const uint8_t *pixels = frame_queue_take(&queue); pixels != NULL; pixels = frame_queue_take(&queue)) {
        weckd_frame frame = {
            .pixels = pixels,
            .width = source.width,
            .height = source.height,
            .stride_bytes = source.stride_bytes,
            .format = WECKD_NV12,
            .fit = WECKD_FIT_COVER,
        };
        weckd_result result;
        int status = weckd_classify(bundle, &frame, &result, NULL, 0);
        if (status != WECKD_OK) {
            (void)fprintf(stderr, "%s: %s\n", weckd_status_text(status), weckd_message(bundle));
            continue; /* and the watchdog is not fed */
        }
        if (result.decision == WECKD_ABSTAIN) {
            printf("unable to analyze: %s\n", weckd_reason_text(result.reason));
        } else {
            printf("%s %.3f\n", weckd_label(bundle, (uint32_t)result.decision), (double)result.probability);
        }
        watchdog_tell(socket_name, "WATCHDOG=1");
    }
}

static int loop(weckd_bundle *bundle) {
    const char *socket_name = getenv("NOTIFY_SOCKET");
    pthread_t reader;
    if (!frame_queue_open(&queue, source.frame_bytes) || pthread_create(&reader, NULL, read_frames, NULL) != 0) {
        return 1;
    }
    watchdog_tell(socket_name, "READY=1");
    classify_frames(bundle, socket_name);
    (void)pthread_join(reader, NULL);
    (void)fprintf(stderr, "%llu frames were dropped\n", (unsigned long long)queue.dropped);
    frame_queue_close(&queue);
    return stopping ? 0 : 1;
}

int main(int argc, char **argv) {
    static char key[4096];
    char message[WECKD_MESSAGE_BYTES] = "";
    if (argc != 5) {
        (void)fprintf(stderr, "usage: camera_loop BUNDLE DEVICE KEY.pem LOWEST_VERSION\n");
        return 2;
    }
    FILE *file = fopen(argv[3], "rb");
    if (file == NULL || fread(key, 1, sizeof key - 1, file) == 0) {
        perror(argv[3]);
        return 2;
    }
    (void)fclose(file);
    if (!camera_open(&source, argv[2], WIDTH, HEIGHT)) {
        (void)fprintf(stderr, "%s: no camera that sends NV12\n", argv[2]);
        return 1;
    }
    weckd_options options = {
        .public_key_pem = key,
        .min_version = strtoull(argv[4], NULL, 10),
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
        camera_close(&source);
        return 1;
    }
    struct sigaction action = {.sa_handler = stop};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    int code = loop(bundle);
    weckd_close(bundle);
    camera_close(&source);
    return code;
}
