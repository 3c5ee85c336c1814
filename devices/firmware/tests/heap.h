/* Counts what a test program and every library in it take from the heap. SPDX-License-Identifier: Apache-2.0 */
#ifndef HEAP_H
#define HEAP_H

/* Calls that took memory, bytes that are held now, and the most that were held since heap_forget_most. */
unsigned long heap_calls(void);
long heap_held(void);
long heap_most(void);
void heap_forget_most(void);

#endif
