/* Confirm the bundle that runs, or roll back to an earlier one. SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "commands/commands.h"
#include "store/bundle_check.h"
#include "store/store.h"

#include <string.h>

int update_confirm(updater *u) {
    store_state state;
    bundle_id running;
    char path[UPDATE_PATH_BYTES];
    weckd_contract contract;
    int status = store_read(u, &state);
    if (status != WECKD_OK) {
        return status;
    }
    store_running(u, running);
    if (strcmp(running, state.current) != 0) {
        return log_fail(u, WECKD_ERR_LISTING, "expected %.16s to run, found %.16s; only what `boot` has started is confirmed",
                        state.current, running[0] == '\0' ? "none" : running);
    }
    status = store_path(u, "bundles/", state.current, path);
    if (status != WECKD_OK) {
        return status;
    }
    status = bundle_verify(u, path, 0, &contract);
    if (status != WECKD_OK) {
        return status;
    }
    if (state_is_unconfirmed(&state)) {
        if (state.good[0] != '\0') { /* otherwise the first one is `previous`, and stays */
            memcpy(state.previous, state.good, sizeof state.previous);
        }
        memcpy(state.good, state.current, sizeof state.good);
        state.attempts = 0;
        state.min_version = contract.version > state.min_version ? contract.version : state.min_version;
        status = store_write(u, &state);
        if (status != WECKD_OK) {
            return status;
        }
        store_clean(u, &state);
    }
    log_print("confirmed %s", state.current);
    return WECKD_OK;
}

int update_rollback(updater *u) {
    store_state state;
    bundle_id to;
    char path[UPDATE_PATH_BYTES];
    int status = store_read(u, &state);
    if (status != WECKD_OK) {
        return status;
    }
    bool is_unconfirmed = state_is_unconfirmed(&state);
    memcpy(to, is_unconfirmed ? state_before(&state) : state.previous, sizeof to);
    if (to[0] == '\0') {
        return log_fail(u, WECKD_ERR_LISTING, "there is no earlier bundle to go back to");
    }
    status = store_path(u, "bundles/", to, path);
    if (status != WECKD_OK) {
        return status;
    }
    status = bundle_selftest(u, path, 0);
    if (status != WECKD_OK) {
        return status;
    }
    if (is_unconfirmed) {
        state_go_back(&state);
    } else {
        memcpy(state.previous, state.good, sizeof state.previous);
        memcpy(state.current, to, sizeof to);
        memcpy(state.good, to, sizeof to);
        state.attempts = 0;
    }
    status = store_write(u, &state);
    if (status != WECKD_OK) {
        return status;
    }
    store_clean(u, &state);
    log_print("rolled back to %s", to);
    return WECKD_OK;
}
