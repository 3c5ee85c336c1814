/* Take a new bundle in: nothing that runs is touched before it is proved, tested and on the disk.
 * SPDX-License-Identifier: Apache-2.0 */
#include "trial.h"
#include "tar.h"

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
    tree_budget budget = {.bytes_left = u->most_bytes, .files_left = UPDATE_MOST_FILES};
    int status = S_ISDIR(about.st_mode) ? tree_copy(u, from, staging_fd, &budget) : tar_unpack(u, from, staging_fd, &budget);
    (void)close(from);
    return status;
}

/* Signature, digests and version first; only what is proved is prepared, and run. */
static int judge(updater *u, const store_state *state, bundle_id id) {
    weckd_contract contract;
    int status = trial_prove(u, "staging", state->floor, &contract);
    status = status != WECKD_OK ? status : trial_id(u, "staging", id);
    if (status == WECKD_OK && strcmp(id, state->refused) == 0 && !u->again) {
        status = update_fail(u, WECKD_ERR_SELFTEST, "%.16s: was tried on this device and given up; --again tries it once more", id);
    }
    status = status != WECKD_OK ? status : trial_prepare(u, "staging");
    return status != WECKD_OK ? status : trial_run(u, "staging", state->floor);
}

/* Move the staged bundle among the others. One of the same id that is whole stays instead. */
static int keep(updater *u, const char *id, int staging_fd) {
    char folder[16 + UPDATE_ID_DIGITS];
    (void)snprintf(folder, sizeof folder, "bundles/%s", id);
    if (faccessat(u->store_fd, folder, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        if (trial_run_id(u, id) == WECKD_OK) {
            return WECKD_OK;
        }
        if (tree_remove(u->store_fd, folder, 0) != 0) {
            return update_fail(u, WECKD_ERR_IO, "%.100s: damaged, and cannot be removed (%s)", folder, strerror(errno));
        }
    }
    int bundles = openat(u->store_fd, "bundles", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool good = bundles >= 0 && tree_sync(staging_fd, 0) == 0 && renameat(u->store_fd, "staging", bundles, id) == 0 &&
                fsync(bundles) == 0 && fsync(u->store_fd) == 0;
    int kept = errno;
    if (bundles >= 0) {
        (void)close(bundles);
    }
    return good ? WECKD_OK : update_fail(u, WECKD_ERR_IO, "%.100s: cannot be kept (%s)", folder, strerror(kept));
}

static int switch_to(updater *u, store_state *state, const char *id) {
    if (strcmp(state->current, id) != 0) {
        memcpy(state->current, id, sizeof state->current);
        state->tries = 0;
        if (strcmp(state->refused, id) == 0) {
            state->refused[0] = '\0';
        }
        int status = store_write(u, state);
        if (status != WECKD_OK) {
            return status;
        }
    }
    return store_link(u, id);
}

int update_install(updater *u, const char *source) {
    store_state state;
    int status = store_read(u, &state);
    if (status != WECKD_OK && update_recover(u) == WECKD_OK) {
        status = store_read(u, &state);
    }
    if (status != WECKD_OK) {
        memset(&state, 0, sizeof state); /* the first bundle of this store */
    }
    store_prune(u, &state); /* makes room */
    if (tree_remove(u->store_fd, "staging", 0) != 0 || mkdirat(u->store_fd, "staging", 0755) != 0) {
        return update_fail(u, WECKD_ERR_IO, "%.300s/staging: cannot be made anew (%s)", u->store, strerror(errno));
    }
    int staging = openat(u->store_fd, "staging", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (staging < 0) {
        return update_fail(u, WECKD_ERR_IO, "%.300s/staging: cannot be opened (%s)", u->store, strerror(errno));
    }
    bundle_id id = "";
    status = stage(u, source, staging);
    status = status != WECKD_OK ? status : judge(u, &state, id);
    status = status != WECKD_OK ? status : keep(u, id, staging);
    status = status != WECKD_OK ? status : switch_to(u, &state, id);
    (void)close(staging);
    (void)tree_remove(u->store_fd, "staging", 0);
    if (status == WECKD_OK) {
        store_prune(u, &state);
        printf("installed %s%s\n", id, store_on_trial(&state) ? ", on trial until it is confirmed" : "");
    }
    return status;
}
