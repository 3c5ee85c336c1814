/* Checks of a bundle, each in a process of its own and within a time: a bundle that crashes or hangs its runtime, or lies on
 * a disk that does not respond, has failed. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_BUNDLE_CHECK_H
#define WECKD_UPDATE_BUNDLE_CHECK_H

#include "base/update.h"

/* What a check returns where the system gave it no process or no pipe: nothing is known of the bundle, which has not failed. */
#define BUNDLE_UNCHECKED 1

/* Verify a bundle: its signature, every digest, and the lowest version. */
int bundle_verify(updater *u, const char *path, uint64_t min_version, weckd_contract *contract);

/* Verify a bundle, then run its self-test. */
int bundle_selftest(updater *u, const char *path, uint64_t min_version);

/* Run the program that prepares a bundle on this device, such as `weckd-edge finalize`. */
int bundle_prepare(updater *u, const char *path);

#endif
