/* A state that is lost is made again from the bundles that prove themselves. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_RECOVER_H
#define WECKD_UPDATE_RECOVER_H

#include "store.h"

#define RECOVER_MOST 4 /* bundles that a store holds: three that are named, one that was just being installed */

typedef enum recovered {
    RECOVER_READ,       /* it was read */
    RECOVER_MADE,       /* it was lost, and is made again */
    RECOVER_MADE_ASIDE, /* the same, but it may still be whole: the system does not let it be read now. It is not replaced */
    RECOVER_NONE        /* the store has no bundle that can be used; `u->why` says so */
} recovered;

/* Read the state; where it is lost, make it again, in memory alone. Nobody knows then which bundle was confirmed: the newest is
 * on trial, and the one before it is the good one; the only one is good. */
recovered recover_read(updater *u, store_state *state);

#endif
