/* Take a new bundle in: nothing that runs is touched before it is proved, tested and on the disk.
 * SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"
#include "recover.h"
#include "say.h"
#include "tar.h"
#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int stage(updater *u, const char *source, int staging_fd) {
    int from = open(source, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat about;
    if (from < 0 || fstat(from, &about) != 0) {
        int status = update_fail(u, WECKD_ERR_IO, "%.300s: expected a tar or a bundle's folder (%s)", source, strerror(errno));
        if (from >= 0) {
            (void)close(from);
        }
        return status;
    }
    tree_budget budget = {.bytes_left = (uint64_t)u->most_mib << 20, .files_left = UPDATE_MOST_FILES};
    int status = S_ISDIR(about.st_mode) ? tree_copy(u, from, staging_fd, &budget) : tar_unpack(u, from, staging_fd, &budget);
    (void)close(from);
    return status;
}

/* Signature, digests and version first; only what is proved is prepared, and run. */
static int judge(updater *u, const store_state *state, bundle_id id) {
    weckd_contract contract;
    char path[UPDATE_PATH_BYTES];
    int status = store_path(u, "staging", "", path);
    status = status != WECKD_OK ? status : trial_prove(u, path, state->floor, &contract);
    if (status != WECKD_OK) {
        return status;
    }
    memcpy(id, contract.id, sizeof(bundle_id));
    if (state_is_refused(state, id) && !u->again) {
        return update_fail(u, WECKD_ERR_SELFTEST, "%.16s: was tried on this device and given up; --again tries it once more", id);
    }
    status = trial_prepare(u, path);
    return status != WECKD_OK ? status : trial_run(u, path, state->floor);
}

/* Move the staged bundle among the others. One of the same id that is whole stays instead. */
static int keep(updater *u, const char *id, int staging_fd) {
    char path[UPDATE_PATH_BYTES];
    int status = store_path(u, "bundles/", id, path);
    if (status != WECKD_OK) {
        return status;
    }
    if (mkdirat(u->store_fd, "bundles", 0755) != 0 && errno != EEXIST) {
        return update_fail(u, WECKD_ERR_IO, "%.300s/bundles: cannot be made (%s)", u->store, strerror(errno));
    }
    int bundles = openat(u->store_fd, "bundles", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (bundles < 0) {
        return update_fail(u, WECKD_ERR_IO, "%.300s/bundles: cannot be opened (%s)", u->store, strerror(errno));
    }
    if (faccessat(bundles, id, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        if (trial_run(u, path, 0) == WECKD_OK) {
            (void)close(bundles);
            return WECKD_OK;
        }
        (void)tree_remove(bundles, id, 0); /* where that fails, so does the next step, and says why */
    }
    bool good = tree_sync(staging_fd, 0) == 0 && renameat(u->store_fd, "staging", bundles, id) == 0 && fsync(bundles) == 0 &&
                fsync(u->store_fd) == 0;
    int kept = errno;
    (void)close(bundles);
    return good ? WECKD_OK : update_fail(u, WECKD_ERR_IO, "bundles/%.16s: cannot be kept (%s)", id, strerror(kept));
}

static int switch_to(updater *u, store_state *state, const char *id) {
    if (strcmp(state->current, id) == 0) {
        return WECKD_OK;
    }
    if (state_on_trial(state) && state->tries > 0) {
        state_refuse(state, state->current); /* it was started, and never confirmed */
    }
    state_take_again(state, id);
    memcpy(state->current, id, sizeof state->current);
    state->tries = 0;
    return store_write(u, state);
}

int update_install(updater *u, const char *source) {
    store_state state;
    recovered how = recover_read(u, &state);
    if (how == RECOVER_MADE_ASIDE) {
        return update_fail(u, WECKD_ERR_IO, "%.300s/state: cannot be read just now; try again later", u->store);
    }
    if (how == RECOVER_READ) {
        store_clean(u, &state); /* makes room; where the state is lost, nothing is thrown away yet */
    }
    if (tree_remove(u->store_fd, "staging", 0) != 0 || mkdirat(u->store_fd, "staging", 0755) != 0) {
        return update_fail(u, WECKD_ERR_IO, "%.300s/staging: cannot be made anew (%s)", u->store, strerror(errno));
    }
    int staging = openat(u->store_fd, "staging", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (staging < 0) {
        return update_fail(u, WECKD_ERR_IO, "%.300s/staging: cannot be opened (%s)", u->store, strerror(errno));
    }
    bundle_id id = "";
    int status = stage(u, source, staging);
    status = status != WECKD_OK ? status : judge(u, &state, id);
    status = status != WECKD_OK ? status : keep(u, id, staging);
    status = status != WECKD_OK ? status : switch_to(u, &state, id);
    (void)close(staging);
    (void)tree_remove(u->store_fd, "staging", 0);
    if (status == WECKD_OK) {
        store_clean(u, &state);
        update_say("installed %s%s", id, state_on_trial(&state) ? ", on trial until it is confirmed" : "");
    }
    return status;
}
