/* The state of a store, one small text with a checksum: which bundle is to run, and what is known of the others.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_STATE_H
#define WECKD_UPDATE_STATE_H

#include "base/update.h"

#include <stddef.h>

#define STATE_ID_DIGITS 64
#define STATE_MAX_REJECTED 16
#define STATE_BYTES 2048

typedef char bundle_id[STATE_ID_DIGITS + 1]; /* "": none */

typedef struct store_state {
    bundle_id current;   /* to be started; unconfirmed while it is not `good` */
    bundle_id good;      /* the last that was confirmed */
    bundle_id previous;  /* the one that was good before; while none was confirmed yet: the first, which another replaces */
    bundle_id rejected[STATE_MAX_REJECTED]; /* failed or never confirmed, the oldest first */
    uint32_t rejected_count;
    uint32_t attempts;    /* starts of `current` while unconfirmed */
    uint64_t min_version; /* highest version that was confirmed; nothing older is installed */
} store_state;

/* Tell whether a text is the id of a bundle: 64 lower-case hexadecimal digits. */
bool state_is_id(const char *text);

/* Tell whether `current` was installed and not confirmed yet. */
bool state_is_unconfirmed(const store_state *state);

/* Rejected bundles are not installed again unasked. Of more than STATE_MAX_REJECTED the oldest is forgotten. */
bool state_is_rejected(const store_state *state, const char *id);
void state_reject(store_state *state, const char *id);
void state_clear_rejection(store_state *state, const char *id);

/* Return the bundle that an unconfirmed `current` gives way to; "": there is none. */
const char *state_before(const store_state *state);

/* Reject the unconfirmed `current`: the state is again what it was before its installation. */
void state_go_back(store_state *state);

/* Write the state as text, and return its number of bytes. */
size_t state_print(const store_state *state, char text[STATE_BYTES]);

/* Read a state from its text. false: it is damaged. `text` has room for one byte more, and is overwritten. */
bool state_parse(char *text, size_t bytes, store_state *state);

#endif
