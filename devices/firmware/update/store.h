/* The store: one lock, one state that changes as a whole or not at all, one link. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_STORE_H
#define WECKD_UPDATE_STORE_H

#include "update.h"

typedef char bundle_id[UPDATE_ID_DIGITS + 1]; /* "": none */

typedef struct store_state {
    bundle_id current;   /* runs; on trial while it is not `good` */
    bundle_id good;      /* the last that was confirmed */
    bundle_id previous;  /* the one that was good before */
    bundle_id refused;   /* the last that was given up */
    uint32_t tries;      /* starts of `current` while on trial */
    uint64_t floor;      /* highest version that was confirmed; nothing older is installed */
} store_state;

bool store_is_id(const char *text);
bool store_on_trial(const store_state *state);

/* Open, or make, the store and take its lock; `wait`: until whoever has it is done. */
int store_open(updater *u, bool wait);
void store_close(updater *u);

/* WECKD_ERR_LISTING: there is none. WECKD_ERR_FORMAT: it is damaged. */
int store_read(updater *u, store_state *state);

/* Replace the state: after a power cut the old one or the new one is there. */
int store_write(updater *u, const store_state *state);

/* Point the link at a bundle, unless it does already. */
int store_link(updater *u, const char *id);

/* What the link points at; "" where there is none. */
void store_linked(updater *u, bundle_id id);

/* Remove every bundle that the state does not name; what cannot be removed stays. */
void store_prune(updater *u, const store_state *state);

#endif
