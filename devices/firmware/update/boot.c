/* What runs, and what comes instead where it does not: every bundle that is switched to was proved and tested just before.
 * SPDX-License-Identifier: Apache-2.0 */
#include "trial.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MOST_CANDIDATES 16

static int settle(updater *u, store_state *state) {
    int status = store_write(u, state);
    return status != WECKD_OK ? status : store_link(u, state->current);
}

/* Go back to the bundle that was good, or to the one before it. `u->why` says what is wrong with the present one. */
static int fall_back(updater *u, store_state *state) {
    char reason[sizeof u->why];
    memcpy(reason, u->why, sizeof reason);
    bool trial = store_on_trial(state);
    const char *const instead[] = {state->good, state->previous};
    for (size_t i = 0; i < 2; i++) {
        bundle_id id;
        memcpy(id, instead[i], sizeof id);
        if (id[0] == '\0' || strcmp(id, state->current) == 0 || trial_run_id(u, id) != WECKD_OK) {
            continue;
        }
        memcpy(state->refused, trial ? state->current : state->refused, sizeof state->refused);
        memcpy(state->current, id, sizeof id);
        memcpy(state->good, id, sizeof id);
        if (i == 1) {
            state->previous[0] = '\0';
        }
        state->tries = 0;
        int status = settle(u, state);
        if (status == WECKD_OK) {
            printf("rolled back to %s: %s\n", id, reason);
        }
        return status;
    }
    memcpy(u->why, reason, sizeof reason);
    return WECKD_ERR_SELFTEST;
}

int update_boot(updater *u) {
    store_state state;
    if (store_read(u, &state) != WECKD_OK || state.current[0] == '\0') {
        (void)fprintf(stderr, "%s; looking for a bundle\n", u->why);
        int status = update_recover(u);
        return status;
    }
    bool spent = store_on_trial(&state) && state.tries >= u->most_tries;
    if (spent) {
        (void)update_fail(u, WECKD_ERR_SELFTEST, "it was started %u times and never confirmed", state.tries);
        if (fall_back(u, &state) == WECKD_OK) {
            return WECKD_OK;
        }
    } else if (store_on_trial(&state)) {
        state.tries++; /* before the test: whatever the test does to this machine, it counts */
        int status = store_write(u, &state);
        if (status != WECKD_OK) {
            return status;
        }
    }
    int status = trial_run_id(u, state.current);
    if (status == WECKD_OK) {
        status = store_link(u, state.current);
        if (status == WECKD_OK) {
            printf("runs %s%s\n", state.current, store_on_trial(&state) ? " on trial" : "");
        }
        return status;
    }
    return spent ? status : fall_back(u, &state);
}

typedef struct candidate {
    bundle_id id;
    uint64_t version;
    bool linked;
} candidate;

static bool is_before(const candidate *a, const candidate *b) {
    return a->linked != b->linked ? a->linked : a->version > b->version;
}

/* Every proved bundle of the store: the one that the link names first, then from the newest on. */
static size_t find_candidates(updater *u, candidate found[MOST_CANDIDATES]) {
    int fd = openat(u->store_fd, "bundles", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    size_t count = 0;
    bundle_id linked;
    store_linked(u, linked);
    const struct dirent *entry = NULL;
    while (folder != NULL && count < MOST_CANDIDATES && (entry = readdir(folder)) != NULL) {
        weckd_contract contract;
        if (!store_is_id(entry->d_name) || trial_prove_id(u, entry->d_name, &contract) != WECKD_OK) {
            continue;
        }
        candidate one = {.version = contract.version, .linked = strcmp(entry->d_name, linked) == 0};
        memcpy(one.id, entry->d_name, sizeof one.id);
        size_t at = count++;
        for (; at > 0 && is_before(&one, &found[at - 1]); at--) {
            found[at] = found[at - 1];
        }
        found[at] = one;
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return count;
}

int update_recover(updater *u) {
    candidate found[MOST_CANDIDATES];
    size_t count = find_candidates(u, found);
    for (size_t i = 0; i < count; i++) {
        if (trial_run_id(u, found[i].id) == WECKD_OK) {
            store_state state = {.floor = found[i].version};
            memcpy(state.current, found[i].id, sizeof state.current);
            memcpy(state.good, found[i].id, sizeof state.good);
            int status = settle(u, &state);
            if (status == WECKD_OK) {
                printf("runs %s, found in the store\n", state.current);
            }
            return status;
        }
    }
    return count > 0 ? WECKD_ERR_SELFTEST
                     : update_fail(u, WECKD_ERR_LISTING, "%.300s: holds no bundle that can be used; install one", u->store);
}

int update_confirm(updater *u) {
    store_state state;
    int status = store_read(u, &state);
    if (status != WECKD_OK) {
        return status;
    }
    weckd_contract contract;
    status = trial_prove_id(u, state.current, &contract);
    if (status != WECKD_OK) {
        return status;
    }
    if (store_on_trial(&state)) {
        memcpy(state.previous, state.good, sizeof state.previous);
        memcpy(state.good, state.current, sizeof state.good);
        state.tries = 0;
        state.floor = contract.version > state.floor ? contract.version : state.floor;
        status = store_write(u, &state);
        if (status != WECKD_OK) {
            return status;
        }
        store_prune(u, &state);
    }
    printf("confirmed %s\n", state.current);
    return WECKD_OK;
}

int update_rollback(updater *u) {
    store_state state;
    int status = store_read(u, &state);
    if (status != WECKD_OK) {
        return status;
    }
    bool trial = store_on_trial(&state);
    bundle_id to;
    memcpy(to, trial ? state.good : state.previous, sizeof to);
    if (to[0] == '\0') {
        return update_fail(u, WECKD_ERR_LISTING, "there is no earlier bundle to go back to");
    }
    status = trial_run_id(u, to);
    if (status != WECKD_OK) {
        return status;
    }
    if (trial) {
        memcpy(state.refused, state.current, sizeof state.refused);
    } else {
        memcpy(state.previous, state.good, sizeof state.previous);
    }
    memcpy(state.current, to, sizeof to);
    memcpy(state.good, to, sizeof to);
    state.tries = 0;
    status = settle(u, &state);
    if (status == WECKD_OK) {
        printf("rolled back to %s\n", to);
    }
    return status;
}

static void show(updater *u, const char *what, const char *id) {
    weckd_contract contract;
    if (id[0] == '\0') {
        printf("%s -\n", what);
    } else if (trial_prove_id(u, id, &contract) == WECKD_OK) {
        printf("%s %s version %llu %s %s\n", what, id, (unsigned long long)contract.version, contract.device, contract.name);
    } else {
        printf("%s %s DAMAGED\n", what, id);
    }
}

int update_status(updater *u) {
    store_state state;
    int status = store_read(u, &state);
    if (status != WECKD_OK) {
        return status;
    }
    show(u, "current", state.current);
    show(u, "good", state.good);
    show(u, "previous", state.previous);
    printf("refused %s\n", state.refused[0] == '\0' ? "-" : state.refused);
    printf("trial %s\ntries %u of %u\nlowest version %llu\n", store_on_trial(&state) ? "yes" : "no", state.tries,
           u->most_tries, (unsigned long long)state.floor);
    return WECKD_OK;
}
