/* Print what is in the store, and what runs. SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "commands/commands.h"
#include "store/bundle_check.h"
#include "store/store.h"

#include <stdio.h>

static void show(updater *u, const char *what, const char *id) {
    weckd_contract contract;
    char path[UPDATE_PATH_BYTES];
    if (id[0] == '\0') {
        log_print("%s -", what);
        return;
    }
    int status = store_path(u, "bundles/", id, path);
    status = status == WECKD_OK ? bundle_verify(u, path, 0, &contract) : status;
    if (status == WECKD_OK) {
        log_print("%s %s version %llu %s %s", what, id, (unsigned long long)contract.version, contract.device, contract.name);
    } else {
        log_print("%s %s %s", what, id, status == BUNDLE_UNCHECKED ? "NOT CHECKED" : "DAMAGED");
    }
}

int update_status(updater *u) {
    store_state state;
    char running[UPDATE_PATH_BYTES];
    bundle_id id;
    int status = store_read(u, &state);
    if (status != WECKD_OK) {
        return status;
    }
    store_read_link(u, running);
    store_running(u, id);
    show(u, "current", state.current);
    show(u, "good", state.good);
    show(u, "previous", state.previous);
    log_print("runs %s", id[0] != '\0' ? id : running[0] != '\0' ? running : "-");
    for (uint32_t i = 0; i < state.rejected_count; i++) {
        log_print("rejected %s", state.rejected[i]);
    }
    log_print("confirmed %s", state_is_unconfirmed(&state) ? "no" : "yes");
    log_print("attempts %u of %u", state.attempts, u->max_attempts);
    log_print("lowest version %llu", (unsigned long long)state.min_version);
    return fflush(stdout) == 0 && ferror(stdout) == 0 ? WECKD_OK : log_fail(u, WECKD_ERR_IO, "the status cannot be written");
}
