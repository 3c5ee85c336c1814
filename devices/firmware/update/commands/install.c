/* Install a new bundle: nothing that runs is changed before it is verified, tested and on the disk.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "commands/commands.h"
#include "store/bundle_check.h"
#include "store/recover.h"
#include "trees/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int stage(updater *u, int staging_fd) {
    int from = open(u->source, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat about;
    if (from < 0 || fstat(from, &about) != 0) {
        int status = log_fail(u, WECKD_ERR_IO, "%.300s: expected a tar or a bundle's folder (%s)", u->source, strerror(errno));
        if (from >= 0) {
            (void)close(from);
        }
        return status;
    }
    tree_budget budget = {.bytes_left = (uint64_t)u->max_mib << 20, .files_left = UPDATE_MAX_FILES};
    int status = S_ISDIR(about.st_mode) ? tree_copy(u, from, staging_fd, &budget) : tar_unpack(u, from, staging_fd, &budget);
    (void)close(from);
    return status;
}

/* Signature, digests and version first; only a verified bundle is prepared, and run. */
static int verify_staged(updater *u, const store_state *state, bundle_id id) {
    weckd_contract contract;
    char path[UPDATE_PATH_BYTES];
    int status = store_path(u, "staging", "", path);
    if (status != WECKD_OK) {
        return status;
    }
    status = bundle_verify(u, path, state->min_version, &contract);
    if (status != WECKD_OK) {
        return status;
    }
    memcpy(id, contract.id, sizeof(bundle_id));
    if (state_is_rejected(state, id) && !u->retry_rejected) {
        return log_fail(u, WECKD_ERR_SELFTEST, "%.16s: was rejected on this device; --retry-rejected installs it once more", id);
    }
    status = bundle_prepare(u, path);
    if (status != WECKD_OK) {
        return status;
    }
    return bundle_selftest(u, path, state->min_version);
}

/* Move the staged bundle among the others. One of the same id that is whole stays instead. */
static int commit(updater *u, const char *id, int staging_fd) {
    char path[UPDATE_PATH_BYTES];
    int status = store_path(u, "bundles/", id, path);
    if (status != WECKD_OK) {
        return status;
    }
    if (mkdirat(u->store_fd, "bundles", 0755) != 0 && errno != EEXIST) {
        return log_fail(u, WECKD_ERR_IO, "%.300s/bundles: cannot be made (%s)", u->store, strerror(errno));
    }
    int bundles = openat(u->store_fd, "bundles", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (bundles < 0) {
        return log_fail(u, WECKD_ERR_IO, "%.300s/bundles: cannot be opened (%s)", u->store, strerror(errno));
    }
    if (faccessat(bundles, id, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        status = bundle_selftest(u, path, 0);
        if (status == WECKD_OK || status == BUNDLE_UNCHECKED) {
            (void)close(bundles);
            return status;
        }
        (void)tree_remove(bundles, id, 0); /* where that fails, so does the next step, with a message */
    }
    bool good = tree_sync(staging_fd, 0) == 0 && renameat(u->store_fd, "staging", bundles, id) == 0 && fsync(bundles) == 0 &&
                fsync(u->store_fd) == 0;
    int saved_errno = errno;
    (void)close(bundles);
    return good ? WECKD_OK : log_fail(u, WECKD_ERR_IO, "bundles/%.16s: cannot be committed (%s)", id, strerror(saved_errno));
}

static int select_bundle(updater *u, store_state *state, const char *id) {
    if (strcmp(state->current, id) == 0) {
        return WECKD_OK;
    }
    if (state->good[0] == '\0' && state->previous[0] == '\0') {
        memcpy(state->previous, state->current, sizeof state->previous); /* nothing was ever confirmed: all there is to go back to */
    } else if (state_is_unconfirmed(state) && state->attempts > 0) {
        state_reject(state, state->current); /* it was started, and never confirmed */
    }
    state_clear_rejection(state, id);
    if (state->good[0] == '\0' && strcmp(state->previous, id) == 0) {
        state->previous[0] = '\0'; /* it is the current one again */
    }
    memcpy(state->current, id, sizeof state->current);
    state->attempts = 0;
    return store_write(u, state);
}

int update_install(updater *u) {
    store_state state;
    recovered how = recover_read(u, &state);
    if (how == RECOVER_REBUILT_UNSAVED) {
        return log_fail(u, WECKD_ERR_IO, "%.300s: the system cannot read all of it just now; try again later", u->store);
    }
    if (how == RECOVER_READ) {
        store_clean(u, &state); /* makes room; where the state is lost, nothing is removed yet */
    }
    if (tree_remove(u->store_fd, "staging", 0) != 0 || mkdirat(u->store_fd, "staging", 0755) != 0) {
        return log_fail(u, WECKD_ERR_IO, "%.300s/staging: cannot be made anew (%s)", u->store, strerror(errno));
    }
    int staging = openat(u->store_fd, "staging", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (staging < 0) {
        return log_fail(u, WECKD_ERR_IO, "%.300s/staging: cannot be opened (%s)", u->store, strerror(errno));
    }
    bundle_id id = "";
    int status = stage(u, staging);
    if (status != WECKD_OK) {
        goto done;
    }
    status = verify_staged(u, &state, id);
    if (status != WECKD_OK) {
        goto done;
    }
    status = commit(u, id, staging);
    if (status != WECKD_OK) {
        goto done;
    }
    status = select_bundle(u, &state, id);
done:
    (void)close(staging);
    (void)tree_remove(u->store_fd, "staging", 0);
    if (status == WECKD_OK) {
        store_clean(u, &state);
        log_print("installed %s%s", id, state_is_unconfirmed(&state) ? ", not confirmed yet" : "");
    }
    return status;
}
