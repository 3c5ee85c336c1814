/* A queue of frames that never grows: where the reader is slow, the oldest frame is dropped. SPDX-License-Identifier: Apache-2.0 */
#ifndef FRAME_QUEUE_H
#define FRAME_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_QUEUE_SLOTS 2 /* beside the one that the reader holds */

typedef struct frame_queue {
    uint8_t *slots[FRAME_QUEUE_SLOTS + 1];
    int waiting[FRAME_QUEUE_SLOTS]; /* indices of slots, oldest first */
    int idle[FRAME_QUEUE_SLOTS + 1];
    int waiting_count, idle_count, held;
    size_t frame_bytes;
    uint64_t dropped;
    bool ended;
    pthread_mutex_t lock;
    pthread_cond_t changed;
} frame_queue;

bool frame_queue_open(frame_queue *queue, size_t frame_bytes); /* the only place that takes memory */
void frame_queue_close(frame_queue *queue);
void frame_queue_put(frame_queue *queue, const uint8_t *frame); /* copies; never waits for the reader */
const uint8_t *frame_queue_take(frame_queue *queue); /* waits for a frame; it is held until the next take; NULL: ended */
uint64_t frame_queue_dropped(frame_queue *queue);
void frame_queue_end(frame_queue *queue); /* wakes the reader */

#endif
