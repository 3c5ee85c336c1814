/* Before the camera starts: find a bundle that runs, and point the link at it. A store that is missing, locked, damaged, full
 * or read-only changes which bundle that is, never whether one is looked for. SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"
#include "recover.h"
#include "say.h"
#include "store.h"
#include "trial.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Whether the bundle that is to run may be tried once more. A start is counted before the test: whatever the test does to this
 * machine, it counts. One that cannot be counted is not made: a bundle that hangs the machine would be tried for ever. */
static bool may_try(updater *u, store_state *state) {
    if (!state_on_trial(state)) {
        return state->current[0] != '\0';
    }
    if (state->tries >= u->most_tries) {
        (void)update_fail(u, WECKD_ERR_SELFTEST, "it was started %u times and never confirmed", state->tries);
        return false;
    }
    state->tries++;
    if (store_write(u, state) == WECKD_OK) {
        return true;
    }
    state->tries--;
    char why[sizeof u->why];
    memcpy(why, u->why, sizeof why);
    (void)update_fail(u, WECKD_ERR_IO, "its start cannot be counted: %s", why);
    return false;
}

/* The bundle that was good takes the place of the one that failed. */
static void go_back(updater *u, store_state *state, const char *id, const char *reason) {
    bool again = strcmp(id, state->previous) == 0;
    if (state_on_trial(state)) {
        state_refuse(state, state->current);
    }
    memcpy(state->current, id, sizeof state->current);
    memcpy(state->good, id, sizeof state->good);
    state->previous[0] = again ? '\0' : state->previous[0];
    state->tries = 0;
    if (store_write(u, state) == WECKD_OK) {
        update_say("rolled back to %s: %s", id, reason);
        store_clean(u, state);
    } else {
        update_warn("%s", u->why);
        update_say("runs %s, the last good one: %s", id, reason);
    }
}

static int start_factory(updater *u) {
    char path[PATH_MAX];
    if (u->factory == NULL) {
        return WECKD_ERR_LISTING;
    }
    int status = realpath(u->factory, path) != NULL && strlen(path) < UPDATE_PATH_BYTES
                     ? trial_run(u, path, 0)
                     : update_fail(u, WECKD_ERR_LISTING, "there is no bundle");
    status = status != WECKD_OK ? status : store_point(u, path);
    if (status == WECKD_OK) {
        update_say("runs %.500s, which is not of the store", path);
    } else {
        update_warn("%.300s: %s", u->factory, u->why);
    }
    return status;
}

/* The bundles to be started in turn, each once. One that may not be tried comes last: for where no other runs. */
static size_t line_up(const store_state *state, bool may_try_current, bundle_id order[3]) {
    const bundle_id *const wanted[] = {&state->current, &state->good, &state->previous, &state->current};
    size_t count = 0;
    for (size_t i = may_try_current ? 0 : 1; i < 4; i++) {
        bool skip = (*wanted[i])[0] == '\0';
        for (size_t k = 0; k < count; k++) {
            skip = skip || strcmp(order[k], *wanted[i]) == 0;
        }
        if (!skip) {
            memcpy(order[count++], *wanted[i], sizeof(bundle_id));
        }
    }
    return count;
}

int update_boot(updater *u) {
    store_state state;
    recovered how = recover_read(u, &state);
    if (how == RECOVER_READ) {
        store_clean(u, &state); /* what was left half done may be what fills the disk */
    } else if (how == RECOVER_MADE_ASIDE) {
        store_unlock(u); /* nothing is written */
    }
    bool may = may_try(u, &state), spent = state_on_trial(&state) && state.tries >= u->most_tries;
    char reason[sizeof u->why] = "";
    if (!may) {
        memcpy(reason, u->why, sizeof reason);
        if (state.current[0] != '\0' || u->factory != NULL) {
            update_warn("%.16s%s%s", state.current, state.current[0] == '\0' ? "" : ": ", reason);
        }
    }
    bundle_id order[3];
    size_t count = line_up(&state, may, order);
    for (size_t i = 0; i < count; i++) {
        char path[UPDATE_PATH_BYTES];
        if (store_path(u, "bundles/", order[i], path) != WECKD_OK || trial_run(u, path, 0) != WECKD_OK) {
            update_warn("%.16s: %s", order[i], u->why);
            if (reason[0] == '\0') {
                memcpy(reason, u->why, sizeof reason);
            }
            continue;
        }
        if (store_point(u, path) != WECKD_OK) {
            return WECKD_ERR_IO; /* no fault of the bundle */
        }
        if (strcmp(order[i], state.current) == 0) {
            if (how == RECOVER_MADE && !state_on_trial(&state) && store_write(u, &state) != WECKD_OK) {
                update_warn("%s", u->why);
            }
            update_say("runs %s%s", order[i], state_on_trial(&state) ? " on trial" : "");
        } else if (may || spent) {
            go_back(u, &state, order[i], reason);
        } else {
            update_say("runs %s, the last good one: %s", order[i], reason);
        }
        return WECKD_OK;
    }
    int status = start_factory(u);
    if (status != WECKD_OK) {
        memcpy(u->why, reason, sizeof reason);
    }
    return status;
}
