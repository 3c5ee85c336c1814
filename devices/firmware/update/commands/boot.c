/* Before the camera starts: find a bundle that runs, and point the link at it. A store that is missing, locked, damaged, full
 * or read-only changes which bundle that is, never whether one is looked for. SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "commands/commands.h"
#include "store/bundle_check.h"
#include "store/recover.h"
#include "store/store.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Tell whether the current bundle may be started once more. A start is counted before the test: whatever the test does to
 * this machine, it counts. One that cannot be counted is not made: a bundle that hangs the machine would be started for ever. */
static bool may_attempt(updater *u, store_state *state) {
    if (!state_is_unconfirmed(state)) {
        return state->current[0] != '\0';
    }
    if (state->attempts >= u->max_attempts) {
        (void)log_fail(u, WECKD_ERR_SELFTEST, "it was started %u times and never confirmed", state->attempts);
        return false;
    }
    state->attempts++;
    if (store_write(u, state) == WECKD_OK) {
        return true;
    }
    state->attempts--;
    char error[sizeof u->error];
    memcpy(error, u->error, sizeof error);
    (void)log_fail(u, WECKD_ERR_IO, "its start cannot be counted: %s", error);
    return false;
}

/* Replace the bundle that failed by an earlier one. */
static void roll_back(updater *u, store_state *state, const char *id, const char *reason) {
    bool is_previous = strcmp(id, state->previous) == 0;
    if (state_is_unconfirmed(state)) {
        state_reject(state, state->current);
    }
    memcpy(state->current, id, sizeof state->current);
    memcpy(state->good, id, sizeof state->good);
    state->previous[0] = is_previous ? '\0' : state->previous[0];
    state->attempts = 0;
    if (store_write(u, state) == WECKD_OK) {
        log_print("rolled back to %s: %s", id, reason);
        store_clean(u, state);
    } else {
        log_warn("%s", u->error);
        log_print("runs %s, the last good one: %s", id, reason);
    }
}

static int start_factory(updater *u) {
    char path[PATH_MAX];
    if (u->factory == NULL) {
        return WECKD_ERR_LISTING;
    }
    int status = WECKD_OK;
    if (realpath(u->factory, path) == NULL || strlen(path) >= UPDATE_PATH_BYTES) {
        status = log_fail(u, WECKD_ERR_LISTING, "there is no bundle");
        goto failed;
    }
    status = bundle_selftest(u, path, 0);
    if (status != WECKD_OK) {
        goto failed;
    }
    status = store_set_link(u, path);
    if (status != WECKD_OK) {
        goto failed;
    }
    log_print("runs %.500s, which is not of the store", path);
    return WECKD_OK;
failed:
    log_warn("%.300s: %s", u->factory, u->error);
    return status;
}

/* List the bundles to start, each once. A current one that may not be attempted comes last: for where no other runs. */
static size_t list_candidates(const store_state *state, bool may_attempt_current, bundle_id candidates[3]) {
    const bundle_id *const wanted[] = {&state->current, &state->good, &state->previous, &state->current};
    size_t count = 0;
    for (size_t i = may_attempt_current ? 0 : 1; i < 4; i++) {
        bool skip = (*wanted[i])[0] == '\0';
        for (size_t k = 0; k < count; k++) {
            skip = skip || strcmp(candidates[k], *wanted[i]) == 0;
        }
        if (!skip) {
            memcpy(candidates[count++], *wanted[i], sizeof(bundle_id));
        }
    }
    return count;
}

int update_boot(updater *u) {
    store_state state;
    recovered how = recover_read(u, &state);
    if (how == RECOVER_READ) {
        store_clean(u, &state); /* an interrupted installation may fill the disk */
    } else if (how == RECOVER_REBUILT_UNSAVED) {
        store_unlock(u); /* nothing is written */
    }
    bool can_attempt = may_attempt(u, &state);
    bool is_exhausted = state_is_unconfirmed(&state) && state.attempts >= u->max_attempts;
    char reason[sizeof u->error] = "";
    if (!can_attempt) {
        memcpy(reason, u->error, sizeof reason);
        if (state.current[0] != '\0' || u->factory != NULL) {
            log_warn("%.16s%s%s", state.current, state.current[0] == '\0' ? "" : ": ", reason);
        }
    }
    bundle_id candidates[3];
    size_t count = list_candidates(&state, can_attempt, candidates);
    for (size_t i = 0; i < count; i++) {
        char path[UPDATE_PATH_BYTES];
        if (store_path(u, "bundles/", candidates[i], path) != WECKD_OK || bundle_selftest(u, path, 0) != WECKD_OK) {
            log_warn("%.16s: %s", candidates[i], u->error);
            if (reason[0] == '\0') {
                memcpy(reason, u->error, sizeof reason);
            }
            continue;
        }
        if (store_set_link(u, path) != WECKD_OK) {
            return WECKD_ERR_IO; /* no fault of the bundle */
        }
        if (strcmp(candidates[i], state.current) == 0) {
            if (how == RECOVER_REBUILT && !state_is_unconfirmed(&state) && store_write(u, &state) != WECKD_OK) {
                log_warn("%s", u->error);
            }
            log_print("runs %s%s", candidates[i], state_is_unconfirmed(&state) ? ", not confirmed yet" : "");
        } else if (can_attempt || is_exhausted) {
            roll_back(u, &state, candidates[i], reason);
        } else {
            log_print("runs %s, the last good one: %s", candidates[i], reason);
        }
        return WECKD_OK;
    }
    int status = start_factory(u);
    if (status != WECKD_OK) {
        memcpy(u->error, reason, sizeof reason);
    }
    return status;
}
