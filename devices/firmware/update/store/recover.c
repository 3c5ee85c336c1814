/* SPDX-License-Identifier: Apache-2.0 */
#include "store/recover.h"

#include "base/log.h"
#include "store/bundle_check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

typedef struct found_bundle {
    bundle_id id;
    uint64_t version;
} found_bundle;

/* Find every bundle of the store that can be verified, the newest first. `*all`: the system let each be looked at. */
static size_t find_bundles(updater *u, found_bundle found[RECOVER_MAX], bool *all) {
    int fd = openat(u->store_fd, "bundles", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    size_t count = 0, seen = 0;
    *all = folder != NULL || errno == ENOENT;
    const struct dirent *entry = NULL;
    while (folder != NULL && seen < RECOVER_MAX && (entry = readdir(folder)) != NULL) {
        weckd_contract contract;
        char path[UPDATE_PATH_BYTES];
        if (!state_is_id(entry->d_name)) {
            continue;
        }
        seen++;
        int status = store_path(u, "bundles/", entry->d_name, path);
        status = status == WECKD_OK ? bundle_verify(u, path, 0, &contract) : status;
        if (status != WECKD_OK) {
            log_warn("%.16s: %s", entry->d_name, u->error);
            *all = *all && status != BUNDLE_UNCHECKED;
            continue;
        }
        size_t at = count++;
        for (; at > 0 && contract.version > found[at - 1].version; at--) {
            found[at] = found[at - 1];
        }
        found[at].version = contract.version;
        memcpy(found[at].id, entry->d_name, sizeof found[at].id);
    }
    if (folder != NULL) {
        (void)closedir(folder);
    } else if (fd >= 0) {
        (void)close(fd);
    }
    return count;
}

recovered recover_read(updater *u, store_state *state) {
    memset(state, 0, sizeof *state);
    if (u->store_fd < 0) {
        return RECOVER_NONE;
    }
    int status = store_read(u, state);
    if (status == WECKD_OK && state->current[0] != '\0') {
        return RECOVER_READ;
    }
    if (status != WECKD_ERR_LISTING) {
        log_warn("%s; looking for bundles", u->error);
    }
    found_bundle found[RECOVER_MAX];
    bool all = true;
    size_t count = find_bundles(u, found, &all);
    memset(state, 0, sizeof *state);
    if (count == 0 && !all) {
        (void)log_fail(u, BUNDLE_UNCHECKED, "%.300s: the system lets no bundle be looked at just now", u->store);
        return RECOVER_REBUILT_UNSAVED;
    }
    if (count == 0) {
        (void)log_fail(u, WECKD_ERR_LISTING, "%.300s: holds no bundle that can be used; install one", u->store);
        return RECOVER_NONE;
    }
    memcpy(state->current, found[0].id, sizeof state->current);
    memcpy(state->good, found[count > 1 ? 1 : 0].id, sizeof state->good);
    memcpy(state->previous, count > 2 ? found[2].id : "", count > 2 ? sizeof state->previous : 1);
    state->min_version = found[0].version;
    return status == WECKD_ERR_IO || !all ? RECOVER_REBUILT_UNSAVED : RECOVER_REBUILT;
}
