/* What is done with one frame: look at it, run the network. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_CLASSIFY_H
#define WECKD_CLASSIFY_H

#include "runtime/opened_bundle.h"

/* Check that a caller who wants probabilities has room for those of all classes, and no other. */
int weckd_check_room(const weckd_bundle *bundle, const void *probabilities, uint32_t classes, weckd_error error);

/* Check a caller's frame, make what the graph takes of it, and ask the guard. On
 * WECKD_OK, weckd_release_frame ends it. */
int weckd_look(weckd_bundle *bundle, const weckd_frame *frame, weckd_result *result, weckd_error error);

/* Run the network on the frame that was looked at, and find the most probable label; WECKD_REASON_NOT_A_NUMBER: there is none. */
int weckd_run_network(weckd_bundle *bundle, weckd_result *result, weckd_error error);

/* Leave the caller's pixels as they were. */
void weckd_release_frame(weckd_bundle *bundle);

#endif
