/* A slow reader sees the newest frames in order, and the writer never waits. SPDX-License-Identifier: Apache-2.0 */
#include "frame_queue.h"

#include <stdio.h>

static frame_queue queue;

static void *write_all(void *context) {
    (void)context;
    for (int i = 1; i <= 100000; i++) {
        frame_queue_put(&queue, (const uint8_t *)&i);
    }
    frame_queue_end(&queue);
    return NULL;
}

int main(void) {
    int value = 0, last = 0, seen = 0;
    if (!frame_queue_open(&queue, sizeof value)) {
        return 1;
    }
    for (int i = 1; i <= 5; i++) {
        frame_queue_put(&queue, (const uint8_t *)&i);
    }
    if (queue.dropped != 5 - FRAME_QUEUE_SLOTS || *(const int *)(const void *)frame_queue_take(&queue) != 4 ||
        *(const int *)(const void *)frame_queue_take(&queue) != 5) {
        printf("the oldest were not dropped\n");
        return 1;
    }
    uint64_t before = queue.dropped;
    pthread_t writer;
    if (pthread_create(&writer, NULL, write_all, NULL) != 0) {
        return 1;
    }
    for (const uint8_t *frame = frame_queue_take(&queue); frame != NULL; frame = frame_queue_take(&queue)) {
        value = *(const int *)(const void *)frame;
        if (value <= last) {
            printf("frame %d came after %d\n", value, last);
            return 1;
        }
        last = value;
        seen++;
    }
    (void)pthread_join(writer, NULL);
    if (last != 100000 || (uint64_t)seen + queue.dropped - before != 100000) {
        printf("last %d, seen %d, dropped %llu\n", last, seen, (unsigned long long)(queue.dropped - before));
        return 1;
    }
    frame_queue_close(&queue);
    printf("ok\n");
    return 0;
}
