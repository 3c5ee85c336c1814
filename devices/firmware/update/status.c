/* What is in the store. SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"
#include "say.h"
#include "store.h"
#include "trial.h"

#include <stdio.h>

static void show(updater *u, const char *what, const char *id) {
    weckd_contract contract;
    char path[UPDATE_PATH_BYTES];
    if (id[0] == '\0') {
        update_say("%s -", what);
    } else if (store_path(u, "bundles/", id, path) == WECKD_OK && trial_prove(u, path, 0, &contract) == WECKD_OK) {
        update_say("%s %s version %llu %s %s", what, id, (unsigned long long)contract.version, contract.device, contract.name);
    } else {
        update_say("%s %s DAMAGED", what, id);
    }
}

int update_status(updater *u) {
    store_state state;
    char running[UPDATE_PATH_BYTES];
    bundle_id id;
    int status = u->store_fd < 0 ? WECKD_ERR_IO : store_read(u, &state);
    if (status != WECKD_OK) {
        return status;
    }
    store_pointed(u, running);
    store_running(u, id);
    show(u, "current", state.current);
    show(u, "good", state.good);
    show(u, "previous", state.previous);
    update_say("runs %s", id[0] != '\0' ? id : running[0] != '\0' ? running : "-");
    for (uint32_t i = 0; i < state.refused_count; i++) {
        update_say("refused %s", state.refused[i]);
    }
    update_say("trial %s", state_on_trial(&state) ? "yes" : "no");
    update_say("tries %u of %u", state.tries, u->most_tries);
    update_say("lowest version %llu", (unsigned long long)state.floor);
    return fflush(stdout) == 0 && ferror(stdout) == 0 ? WECKD_OK : update_fail(u, WECKD_ERR_IO, "the answer cannot be written");
}
