/* Contract, labels and messages of an open bundle, and the flag that reserves it for one call.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/opened_bundle.h"

bool weckd_enter(weckd_bundle *bundle) { return !atomic_flag_test_and_set_explicit(&bundle->busy, memory_order_acquire); }

void weckd_leave(weckd_bundle *bundle) { atomic_flag_clear_explicit(&bundle->busy, memory_order_release); }

const weckd_contract *weckd_contract_of(const weckd_bundle *bundle) { return bundle == NULL ? NULL : &bundle->contract; }

const char *weckd_label(const weckd_bundle *bundle, uint32_t index) {
    return bundle == NULL || index >= bundle->contract.classes ? NULL : bundle->labels + (size_t)index * WECKD_MAX_LABEL_BYTES;
}

const weckd_model *weckd_model_of(const weckd_bundle *bundle) { return bundle == NULL ? NULL : &bundle->model; }

const char *weckd_message(const weckd_bundle *bundle) { return bundle == NULL ? "" : bundle->message; }

uint8_t *weckd_frame_buffer(weckd_bundle *bundle) { return bundle == NULL ? NULL : bundle->frame; }
