/* Child processes: each has a time limit, holds no lock, and ends together with all that it started.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_CHILD_H
#define WECKD_UPDATE_CHILD_H

#include "base/update.h"

#include <sys/types.h>

#define CHILD_GRACE_S 5 /* for the kernel to end a process that was killed */

/* Milliseconds of a clock that nobody sets. */
int64_t child_now_ms(void);

/* Wait a few milliseconds. */
void child_sleep(void);

/* Set up signals: where one ends the updater, the child's process group is ended first. Called once, at the start. */
void child_handle_signals(void);

/* fork, whose result and errno it returns: the child leads a process group of its own, and is killed when the updater dies, however that happens. */
pid_t child_start(updater *u);

/* Wait until the child has ended, at most until `end_ms`; then end what is left of its process group. Takes at most
 * CHILD_GRACE_S longer. true: it ended by itself, and `*wait_status` is waitpid's. */
bool child_end(pid_t child, int64_t end_ms, int *wait_status);

#endif
