/* Prove a bundle and let it answer its golden frames. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_TRIAL_H
#define WECKD_UPDATE_TRIAL_H

#include "store.h"

/* Signature, every digest, and the lowest version, of a folder below the store. */
int trial_prove(updater *u, const char *folder, uint64_t at_least, weckd_contract *contract);

/* The same, then the self-test, in a process of its own: a model that crashes or hangs its runtime has failed. */
int trial_run(updater *u, const char *folder, uint64_t at_least);

/* Both, of a bundle in the store. */
int trial_run_id(updater *u, const char *id);
int trial_prove_id(updater *u, const char *id, weckd_contract *contract);

/* The id of a bundle that was proved. */
int trial_id(updater *u, const char *folder, bundle_id id);

/* Run the program that prepares a bundle on this device, such as `weckd-edge finalize`. */
int trial_prepare(updater *u, const char *folder);

#endif
