/* SPDX-License-Identifier: Apache-2.0 */
#include "frame_queue.h"

#include <stdlib.h>
#include <string.h>

bool frame_queue_open(frame_queue *queue, size_t frame_bytes) {
    memset(queue, 0, sizeof *queue);
    queue->frame_bytes = frame_bytes;
    queue->held = -1;
    for (int i = 0; i < FRAME_QUEUE_SLOTS + 1; i++) {
        queue->slots[i] = malloc(frame_bytes);
        if (queue->slots[i] == NULL) {
            frame_queue_close(queue);
            return false;
        }
        queue->idle[queue->idle_count++] = i;
    }
    return pthread_mutex_init(&queue->lock, NULL) == 0 && pthread_cond_init(&queue->changed, NULL) == 0;
}

void frame_queue_close(frame_queue *queue) {
    for (int i = 0; i < FRAME_QUEUE_SLOTS + 1; i++) {
        free(queue->slots[i]);
        queue->slots[i] = NULL;
    }
}

void frame_queue_put(frame_queue *queue, const uint8_t *frame) {
    (void)pthread_mutex_lock(&queue->lock);
    int slot;
    if (queue->waiting_count == FRAME_QUEUE_SLOTS || queue->idle_count == 0) {
        slot = queue->waiting[0];
        queue->waiting_count--;
        memmove(queue->waiting, queue->waiting + 1, (size_t)queue->waiting_count * sizeof queue->waiting[0]);
        queue->dropped++;
    } else {
        slot = queue->idle[--queue->idle_count];
    }
    memcpy(queue->slots[slot], frame, queue->frame_bytes);
    queue->waiting[queue->waiting_count++] = slot;
    (void)pthread_cond_signal(&queue->changed);
    (void)pthread_mutex_unlock(&queue->lock);
}

const uint8_t *frame_queue_take(frame_queue *queue) {
    (void)pthread_mutex_lock(&queue->lock);
    if (queue->held >= 0) {
        queue->idle[queue->idle_count++] = queue->held;
        queue->held = -1;
    }
    while (queue->waiting_count == 0 && !queue->ended) {
        (void)pthread_cond_wait(&queue->changed, &queue->lock);
    }
    if (queue->waiting_count > 0) {
        queue->held = queue->waiting[0];
        queue->waiting_count--;
        memmove(queue->waiting, queue->waiting + 1, (size_t)queue->waiting_count * sizeof queue->waiting[0]);
    }
    const uint8_t *frame = queue->held < 0 ? NULL : queue->slots[queue->held];
    (void)pthread_mutex_unlock(&queue->lock);
    return frame;
}

uint64_t frame_queue_dropped(frame_queue *queue) {
    (void)pthread_mutex_lock(&queue->lock);
    uint64_t dropped = queue->dropped;
    (void)pthread_mutex_unlock(&queue->lock);
    return dropped;
}

void frame_queue_end(frame_queue *queue) {
    (void)pthread_mutex_lock(&queue->lock);
    queue->ended = true;
    (void)pthread_cond_broadcast(&queue->changed);
    (void)pthread_mutex_unlock(&queue->lock);
}
