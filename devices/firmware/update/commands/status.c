/* Print what is in the store, and what runs. SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "commands/commands.h"
#include "store/bundle_check.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

/* What is found of a bundle that the state names. */
typedef struct verified {
    int status;
    weckd_contract contract;
} verified;

static void verify(updater *u, const char *id, verified *found) {
    char path[UPDATE_PATH_BYTES];
    found->status = id[0] == '\0' ? WECKD_OK : store_path(u, "bundles/", id, path);
    if (id[0] != '\0' && found->status == WECKD_OK) {
        found->status = bundle_verify(u, path, 0, &found->contract);
    }
}

static void show(const char *what, const char *id, const verified *found) {
    const weckd_contract *contract = &found->contract;
    if (id[0] == '\0') {
        log_print("%s -", what);
    } else if (found->status == WECKD_OK) {
        log_print("%s %s version %llu %s %s", what, id, (unsigned long long)contract->version, contract->device, contract->name);
    } else {
        log_print("%s %s %s", what, id, found->status == BUNDLE_UNCHECKED ? "NOT CHECKED" : "DAMAGED");
    }
}

static bool names_the_same(const store_state *one, const store_state *other) {
    return strcmp(one->current, other->current) == 0 && strcmp(one->good, other->good) == 0 &&
           strcmp(one->previous, other->previous) == 0;
}

int update_status(updater *u) {
    store_state state, later;
    char running[UPDATE_PATH_BYTES];
    bundle_id id;
    verified current, good, previous;
    int status = store_read(u, &later);
    if (status != WECKD_OK) {
        return status;
    }
    /* An update that goes on meanwhile may remove a bundle before it is verified, which is no damage: its state is then shown. */
    int tries = 0;
    do {
        state = later;
        store_read_link(u, running);
        store_running(u, id);
        verify(u, state.current, &current);
        verify(u, state.good, &good);
        verify(u, state.previous, &previous);
    } while (++tries < 3 && store_read(u, &later) == WECKD_OK && !names_the_same(&state, &later));
    show("current", state.current, &current);
    show("good", state.good, &good);
    show("previous", state.previous, &previous);
    log_print("runs %s", id[0] != '\0' ? id : running[0] != '\0' ? running : "-");
    for (uint32_t i = 0; i < state.rejected_count; i++) {
        log_print("rejected %s", state.rejected[i]);
    }
    log_print("confirmed %s", state_is_unconfirmed(&state) ? "no" : "yes");
    log_print("attempts %u of %u", state.attempts, u->max_attempts);
    log_print("lowest version %llu", (unsigned long long)state.min_version);
    return fflush(stdout) == 0 && ferror(stdout) == 0 ? WECKD_OK : log_fail(u, WECKD_ERR_IO, "the status cannot be written");
}
