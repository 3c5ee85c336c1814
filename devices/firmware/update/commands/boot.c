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

/* Give up the unconfirmed bundle: the state is again what it was before the installation. Bundles that were confirmed stay, those
 * too that do not run now. */
static bool give_up(updater *u, store_state *state) {
    state_go_back(state);
    if (store_write(u, state) != WECKD_OK) {
        log_warn("%s", u->error);
        return false;
    }
    store_clean(u, state);
    return true;
}

/* Take back a start that was counted: the system did not let the bundle be tested or linked to, so that it was not started. */
static void uncount(updater *u, store_state *state) {
    char error[sizeof u->error];
    memcpy(error, u->error, sizeof error);
    state->attempts--;
    if (store_write(u, state) != WECKD_OK) {
        log_warn("%s", u->error);
    }
    memcpy(u->error, error, sizeof error);
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
    bool is_counted = can_attempt && state_is_unconfirmed(&state);
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
    bool is_unchecked = false; /* the system did not let the current one be tested */
    for (size_t i = 0; i < count; i++) {
        char path[UPDATE_PATH_BYTES];
        bool is_current = strcmp(candidates[i], state.current) == 0;
        int status = store_path(u, "bundles/", candidates[i], path);
        status = status == WECKD_OK ? bundle_selftest(u, path, 0) : status;
        if (status != WECKD_OK) {
            log_warn("%.16s: %s", candidates[i], u->error);
            if (reason[0] == '\0') {
                memcpy(reason, u->error, sizeof reason);
            }
            if (is_current && status == BUNDLE_UNCHECKED && is_counted) {
                is_unchecked = true;
                uncount(u, &state);
            }
            continue;
        }
        if (store_set_link(u, path) != WECKD_OK) {
            if (is_current && is_counted) {
                uncount(u, &state);
            }
            return WECKD_ERR_IO; /* no fault of the bundle */
        }
        if (is_current) {
            if (how == RECOVER_REBUILT && !state_is_unconfirmed(&state) && store_write(u, &state) != WECKD_OK) {
                log_warn("%s", u->error);
            }
            log_print("runs %s%s", candidates[i], state_is_unconfirmed(&state) ? ", not confirmed yet" : "");
            return WECKD_OK;
        }
        /* What was confirmed is not given up for one failure, which may be the machine's: the next start tries it again. */
        bool is_over = state_is_unconfirmed(&state) && (can_attempt || is_exhausted) && !is_unchecked;
        bool is_rolled_back = is_over && give_up(u, &state) && strcmp(candidates[i], state.current) == 0;
        log_print(is_rolled_back ? "rolled back to %s: %s" : "runs %s, the last good one: %s", candidates[i], reason);
        return WECKD_OK;
    }
    int status = start_factory(u);
    if (status != WECKD_OK) {
        memcpy(u->error, reason, sizeof reason);
    }
    return status;
}
