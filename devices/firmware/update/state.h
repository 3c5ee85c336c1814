/* Which bundle is to run, and what is known of the others: one small text with a checksum. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_STATE_H
#define WECKD_UPDATE_STATE_H

#include "update.h"

#include <stddef.h>

#define STATE_ID_DIGITS 64
#define STATE_MOST_REFUSED 16
#define STATE_BYTES 2048

typedef char bundle_id[STATE_ID_DIGITS + 1]; /* "": none */

typedef struct store_state {
    bundle_id current;   /* is to run; on trial while it is not `good` */
    bundle_id good;      /* the last that was confirmed */
    bundle_id previous;  /* the one that was good before */
    bundle_id refused[STATE_MOST_REFUSED]; /* those that were given up, the oldest first */
    uint32_t refused_count;
    uint32_t tries;      /* starts of `current` while on trial */
    uint64_t floor;      /* highest version that was confirmed; nothing older is installed */
} store_state;

bool state_is_id(const char *text);
bool state_on_trial(const store_state *state);

/* Bundles that were given up are not taken again unasked. Of more than STATE_MOST_REFUSED the oldest is forgotten. */
bool state_is_refused(const store_state *state, const char *id);
void state_refuse(store_state *state, const char *id);
void state_take_again(store_state *state, const char *id);

/* Return the number of bytes. */
size_t state_print(const store_state *state, char text[STATE_BYTES]);

/* false: it is damaged. `text` has room for one byte more, and is used up. */
bool state_parse(char *text, size_t bytes, store_state *state);

#endif
