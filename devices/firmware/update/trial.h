/* Prove a bundle and let it answer its golden frames. All of it is done by processes of their own, each within a time: a
 * bundle that crashes or hangs its runtime, or lies on a disk that does not answer, has failed.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_TRIAL_H
#define WECKD_UPDATE_TRIAL_H

#include "update.h"

/* Signature, every digest, and the lowest version. */
int trial_prove(updater *u, const char *path, uint64_t at_least, weckd_contract *contract);

/* The same, then the self-test. */
int trial_run(updater *u, const char *path, uint64_t at_least);

/* Run the program that prepares a bundle on this device, such as `weckd-edge finalize`. */
int trial_prepare(updater *u, const char *path);

#endif
