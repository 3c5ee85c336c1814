/* Measures stack and heap of every call. Each runs on a stack of its own that was painted before; the heap is counted by heap.c.
 *
 *   footprint BUNDLE BACKEND LIBRARY|- KEY|-     prints "check stack N heap N", ... in bytes
 *
 * "heap" is the most that was held at once beyond what was held before the call; "kept" what it leaves behind.
 * SPDX-License-Identifier: Apache-2.0 */
#include "heap.h"
#include "weckd_edge.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STACK_BYTES (4u << 20)
#define PAINT 0xA5
#define KEPT_BYTES 256 /* bytes of the frame that paints; a call that takes less is reported as this */

static struct {
    const char *folder;
    weckd_options options;
    weckd_bundle *bundle;
    weckd_frame frame;
    int status;
} job;

static void *check(void *context) {
    job.status = weckd_check(job.folder, &job.options, NULL);
    return context;
}

static void *open_it(void *context) {
    job.status = weckd_open(job.folder, &job.options, &job.bundle);
    return context;
}

static void *selftest(void *context) {
    job.status = weckd_selftest(job.bundle, NULL);
    job.status = job.status == WECKD_ERR_SELFTEST ? WECKD_OK : job.status; /* a stand-in has no tolerance; all of it ran */
    return context;
}

static void *classify(void *context) {
    weckd_result result;
    job.status = weckd_classify(job.bundle, &job.frame, &result, NULL, 0);
    return context;
}

static void *begin_exam(void *context) {
    job.status = weckd_exam_begin(job.bundle);
    return context;
}

static void *exam_add(void *context) {
    weckd_exam_frame added;
    job.status = weckd_exam_add(job.bundle, &job.frame, &added, NULL, 0);
    return context;
}

static void *exam_decide(void *context) {
    weckd_exam_decision decision;
    job.status = weckd_exam_decide(job.bundle, &decision, NULL, 0);
    return context;
}

static void *close_it(void *context) {
    weckd_close(job.bundle);
    return context;
}

static unsigned char *stack;
static size_t used;
static long before, after; /* bytes held when the call began and ended */

/* Paint what lies below this frame, make the call, and look how far down the paint is gone. */
static __attribute__((noinline)) void *on_paint(void *step) {
    unsigned char here = 0, *volatile top = &here;
    void *(*call)(void *) = NULL;
    memcpy(&call, step, sizeof call);
    memset(stack, PAINT, (size_t)(top - stack) - KEPT_BYTES);
    before = heap_held();
    heap_forget_most();
    (void)call(NULL);
    after = heap_held();
    size_t clean = 0;
    while (stack[clean] == PAINT) {
        clean++;
    }
    used = (size_t)(top - stack) - clean;
    return NULL;
}

/* A thread of its own, on a stack of which nothing else lies below. */
static void run(void *(*step)(void *)) {
    pthread_attr_t attributes;
    pthread_t thread;
    (void)pthread_attr_init(&attributes);
    if (pthread_attr_setstack(&attributes, stack, STACK_BYTES) != 0 ||
        pthread_create(&thread, &attributes, on_paint, &step) != 0 || pthread_join(thread, NULL) != 0) {
        exit(2);
    }
    if (job.status != WECKD_OK) {
        printf("status %d: %s\n", job.status, job.bundle != NULL ? weckd_message(job.bundle) : job.options.message);
        exit(1);
    }
}

static void measure(const char *name, void *(*step)(void *)) {
    run(step);
    printf("%s stack %zu heap %ld kept %ld\n", name, used, heap_most() - before, after - before);
}

int main(int argc, char **argv) {
    static char message[WECKD_MESSAGE_BYTES], key[4096];
    static uint8_t pixels[64 * 48 * 3];
    if (argc != 5) {
        return 2;
    }
    if (strcmp(argv[4], "-") != 0) {
        FILE *file = fopen(argv[4], "rb");
        if (file == NULL || fread(key, 1, sizeof key - 1, file) == 0) {
            perror(argv[4]);
            return 2;
        }
        (void)fclose(file);
        job.options.public_key_pem = key;
    }
    job.folder = argv[1];
    job.options.backend = argv[2];
    job.options.library = strcmp(argv[3], "-") == 0 ? NULL : argv[3];
    job.options.message = message;
    job.options.max_source_width = 64;
    job.options.max_source_height = 48;
    memset(pixels, 99, sizeof pixels);
    stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) {
        return 2;
    }
    run(check); /* once unmeasured: the loader resolves calls on their first use, and takes stack for it */
    measure("check", check);
    measure("open", open_it);
    measure("selftest", selftest);
    job.frame = (weckd_frame){.pixels = pixels, .width = 64, .height = 48, .format = WECKD_NV12, .fit = WECKD_FIT_COVER};
    run(classify);
    measure("classify", classify);
    run(begin_exam);
    run(exam_add);
    measure("exam_add", exam_add);
    run(exam_decide);
    measure("exam_decide", exam_decide);
    measure("close", close_it);
    return 0;
}
