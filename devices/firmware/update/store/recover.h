/* A lost state is rebuilt from the bundles that can be verified. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_RECOVER_H
#define WECKD_UPDATE_RECOVER_H

#include "store/store.h"

#define RECOVER_MAX 4 /* bundles that a store holds: three that are named, one that is being installed */

typedef enum recovered {
    RECOVER_READ,            /* it was read */
    RECOVER_REBUILT,         /* it was lost, and is rebuilt */
    RECOVER_REBUILT_UNSAVED, /* it is rebuilt, and is not kept: the system cannot read it, or look at every bundle, just now */
    RECOVER_NONE             /* the store has no bundle that can be used; `u->error` has the message */
} recovered;

/* Read the state; where it is lost, rebuild it, in memory alone. Which bundle was confirmed is then unknown: the newest is
 * unconfirmed, and the one before it is the good one; the only one is good. */
recovered recover_read(updater *u, store_state *state);

#endif
