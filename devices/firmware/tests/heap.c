/* malloc and its like stand in front of the C library's for every library in the process, so that nobody's call is missed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "heap.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SEEN __attribute__((visibility("default"))) /* or the libraries would not find these */

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *old, size_t bytes);
extern void *__libc_memalign(size_t align, size_t bytes);
extern void __libc_free(void *data);

static atomic_ulong calls;
static atomic_long held, most;

unsigned long heap_calls(void) { return atomic_load(&calls); }
long heap_held(void) { return atomic_load(&held); }
long heap_most(void) { return atomic_load(&most); }
void heap_forget_most(void) { atomic_store(&most, atomic_load(&held)); }

static long bytes_of(void *data) { return data == NULL ? 0 : (long)malloc_usable_size(data); }

static void *took(void *data) {
    long bytes = bytes_of(data), now = atomic_fetch_add(&held, bytes) + bytes, top = atomic_load(&most);
    while (now > top && !atomic_compare_exchange_weak(&most, &top, now)) {
    }
    atomic_fetch_add(&calls, 1);
    return data;
}

SEEN void *malloc(size_t bytes) { return took(__libc_malloc(bytes)); }
SEEN void *calloc(size_t count, size_t bytes) { return took(__libc_calloc(count, bytes)); }
SEEN void *aligned_alloc(size_t align, size_t bytes) { return took(__libc_memalign(align, bytes)); }

SEEN void *realloc(void *old, size_t bytes) {
    atomic_fetch_sub(&held, bytes_of(old));
    return took(__libc_realloc(old, bytes));
}

SEEN int posix_memalign(void **to, size_t align, size_t bytes) {
    *to = took(__libc_memalign(align, bytes));
    return *to == NULL ? 12 : 0;
}

SEEN void free(void *data) {
    atomic_fetch_sub(&held, bytes_of(data));
    __libc_free(data);
}
