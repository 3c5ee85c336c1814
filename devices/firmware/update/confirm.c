/* Call the bundle that runs good, or go back to one that was. SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"
#include "say.h"
#include "store.h"
#include "trial.h"

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
        return update_fail(u, WECKD_ERR_LISTING, "expected %.16s to run, found %.16s; only what `boot` has started is confirmed",
                           state.current, running[0] == '\0' ? "none" : running);
    }
    status = store_path(u, "bundles/", state.current, path);
    status = status != WECKD_OK ? status : trial_prove(u, path, 0, &contract);
    if (status != WECKD_OK) {
        return status;
    }
    if (state_on_trial(&state)) {
        memcpy(state.previous, state.good, sizeof state.previous);
        memcpy(state.good, state.current, sizeof state.good);
        state.tries = 0;
        state.floor = contract.version > state.floor ? contract.version : state.floor;
        status = store_write(u, &state);
        if (status != WECKD_OK) {
            return status;
        }
        store_clean(u, &state);
    }
    update_say("confirmed %s", state.current);
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
    bool trial = state_on_trial(&state);
    memcpy(to, trial ? state.good : state.previous, sizeof to);
    if (to[0] == '\0') {
        return update_fail(u, WECKD_ERR_LISTING, "there is no earlier bundle to go back to");
    }
    status = store_path(u, "bundles/", to, path);
    status = status != WECKD_OK ? status : trial_run(u, path, 0);
    if (status != WECKD_OK) {
        return status;
    }
    if (trial) {
        state_refuse(&state, state.current);
    } else {
        memcpy(state.previous, state.good, sizeof state.previous);
    }
    memcpy(state.current, to, sizeof to);
    memcpy(state.good, to, sizeof to);
    state.tries = 0;
    status = store_write(u, &state);
    if (status == WECKD_OK) {
        store_clean(u, &state);
        update_say("rolled back to %s", to);
    }
    return status;
}
