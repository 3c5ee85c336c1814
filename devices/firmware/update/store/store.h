/* The store: one lock, and one state that changes as a whole or not at all; and the link to what runs, which lies elsewhere.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_STORE_H
#define WECKD_UPDATE_STORE_H

#include "store/state.h"

/* Open the store; `make`: create it where there is none. */
int store_open(updater *u, bool make);

/* Lock it, within so many seconds. WECKD_ERR_BUSY: another has it. A store that cannot be written can still be locked. */
int store_lock(updater *u, uint32_t seconds);
void store_unlock(updater *u);

void store_close(updater *u);

/* Read the state. WECKD_ERR_LISTING: there is none. WECKD_ERR_FORMAT: it is damaged. WECKD_ERR_IO: the system cannot read it
 * now. */
int store_read(updater *u, store_state *state);

/* Replace the state: after a power cut the old one or the new one is there. Fails where the store is not locked. */
int store_write(updater *u, const store_state *state);

/* Remove every bundle that the state does not name, and the rest of an interrupted installation; what cannot be removed
 * stays. */
void store_clean(updater *u, const store_state *state);

/* Make the path of a bundle, or of another `name` in the store; WECKD_ERR_LIMIT: it is too long. */
int store_path(updater *u, const char *below, const char *name, char path[UPDATE_PATH_BYTES]);

/* Point the link to what runs at a folder, unless it does already. It is not in the store. */
int store_set_link(updater *u, const char *path);

/* Read the path that the link points at; "": there is no link. */
void store_read_link(updater *u, char path[UPDATE_PATH_BYTES]);

/* Find the bundle of the store that the link points at; "": none of them. */
void store_running(updater *u, bundle_id id);

#endif
