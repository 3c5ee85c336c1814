/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_HEAD "weckd-update 1\n"
#define STATE_BYTES 1024

bool store_is_id(const char *text) {
    return strlen(text) == UPDATE_ID_DIGITS && strspn(text, "0123456789abcdef") == UPDATE_ID_DIGITS;
}

bool store_on_trial(const store_state *state) {
    return state->current[0] != '\0' && strcmp(state->current, state->good) != 0;
}

int store_open(updater *u, bool wait) {
    u->lock_fd = -1;
    bool made = mkdir(u->store, 0755) == 0;
    if (!made && errno != EEXIST) {
        return update_fail(u, WECKD_ERR_IO, "%.300s: the store cannot be made (%s)", u->store, strerror(errno));
    }
    u->store_fd = open(u->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (u->store_fd < 0) {
        return update_fail(u, WECKD_ERR_IO, "%.300s: the store cannot be opened (%s)", u->store, strerror(errno));
    }
    int above = made ? openat(u->store_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (above >= 0) {
        (void)fsync(above);
        (void)close(above);
    }
    u->lock_fd = openat(u->store_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (u->lock_fd < 0 || flock(u->lock_fd, LOCK_EX | (wait ? 0 : LOCK_NB)) != 0) {
        int status = u->lock_fd >= 0 && errno == EWOULDBLOCK ? WECKD_ERR_BUSY : WECKD_ERR_IO;
        return update_fail(u, status, status == WECKD_ERR_BUSY ? "%.300s: another weckd-update is at work; try again later"
                                                                : "%.300s: the store cannot be locked", u->store);
    }
    if (mkdirat(u->store_fd, "bundles", 0755) != 0 && errno != EEXIST) {
        return update_fail(u, WECKD_ERR_IO, "%.300s/bundles: cannot be made (%s)", u->store, strerror(errno));
    }
    return WECKD_OK;
}

void store_close(updater *u) {
    if (u->lock_fd >= 0) {
        (void)close(u->lock_fd);
    }
    if (u->store_fd >= 0) {
        (void)close(u->store_fd);
    }
}

/* CRC-32 as in zip: against a worn memory, not against people. */
static uint32_t crc32_of(const char *data, size_t bytes) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= (uint8_t)data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xEDB88320u : 0u);
        }
    }
    return ~crc;
}

static const char *shown(const char *id) { return id[0] == '\0' ? "-" : id; }

static bool take_id(const char *text, bundle_id id) {
    id[0] = '\0';
    if (strcmp(text, "-") == 0) {
        return true;
    }
    if (!store_is_id(text)) {
        return false;
    }
    memcpy(id, text, sizeof(bundle_id));
    return true;
}

static size_t print_state(const store_state *state, char text[STATE_BYTES]) {
    int length = snprintf(text, STATE_BYTES,
                          STATE_HEAD "current %s\ngood %s\nprevious %s\nrefused %s\ntries %" PRIu32 "\nfloor %" PRIu64 "\n",
                          shown(state->current), shown(state->good), shown(state->previous), shown(state->refused),
                          state->tries, state->floor);
    uint32_t crc = crc32_of(text, (size_t)length);
    return (size_t)length + (size_t)snprintf(text + length, STATE_BYTES - (size_t)length, "crc32 %08" PRIx32 "\n", crc);
}

int store_read(updater *u, store_state *state) {
    memset(state, 0, sizeof *state);
    char text[STATE_BYTES + 1], again[STATE_BYTES];
    int fd = openat(u->store_fd, "state", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return update_fail(u, errno == ENOENT ? WECKD_ERR_LISTING : WECKD_ERR_FORMAT, "%.300s/state: cannot be opened (%s)",
                           u->store, strerror(errno));
    }
    ssize_t bytes = tree_read(fd, text, STATE_BYTES);
    (void)close(fd);
    text[bytes > 0 ? bytes : 0] = '\0';
    char id[4][UPDATE_ID_DIGITS + 1];
    bool good = sscanf(text, STATE_HEAD "current %64s good %64s previous %64s refused %64s tries %" SCNu32 " floor %" SCNu64,
                       id[0], id[1], id[2], id[3], &state->tries, &state->floor) == 6 &&
                take_id(id[0], state->current) && take_id(id[1], state->good) && take_id(id[2], state->previous) &&
                take_id(id[3], state->refused);
    /* The same state has one spelling, its checksum included. */
    if (!good || print_state(state, again) != (size_t)bytes || memcmp(text, again, (size_t)bytes) != 0) {
        memset(state, 0, sizeof *state);
        return update_fail(u, WECKD_ERR_FORMAT, "%.300s/state: damaged", u->store);
    }
    return WECKD_OK;
}

int store_write(updater *u, const store_state *state) {
    char text[STATE_BYTES];
    size_t bytes = print_state(state, text);
    int fd = openat(u->store_fd, "state.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    bool good = fd >= 0 && tree_write(fd, text, bytes) && fsync(fd) == 0;
    int kept = errno;
    if (fd >= 0 && close(fd) != 0 && good) {
        kept = errno;
        good = false;
    }
    errno = kept;
    if (!good || renameat(u->store_fd, "state.new", u->store_fd, "state") != 0 || fsync(u->store_fd) != 0) {
        return update_fail(u, WECKD_ERR_IO, "%.300s/state: cannot be written (%s)", u->store, strerror(errno));
    }
    return WECKD_OK;
}

void store_linked(updater *u, bundle_id id) {
    char target[sizeof "bundles/" + UPDATE_ID_DIGITS];
    ssize_t bytes = readlinkat(u->store_fd, "current", target, sizeof target - 1);
    target[bytes > 0 ? bytes : 0] = '\0';
    id[0] = '\0';
    if (strncmp(target, "bundles/", 8) == 0 && store_is_id(target + 8)) {
        memcpy(id, target + 8, sizeof(bundle_id));
    }
}

int store_link(updater *u, const char *id) {
    bundle_id linked;
    store_linked(u, linked);
    if (strcmp(linked, id) == 0) {
        return WECKD_OK;
    }
    char target[sizeof "bundles/" + UPDATE_ID_DIGITS];
    (void)snprintf(target, sizeof target, "bundles/%s", id);
    if ((unlinkat(u->store_fd, "current.new", 0) != 0 && errno != ENOENT) ||
        symlinkat(target, u->store_fd, "current.new") != 0 ||
        renameat(u->store_fd, "current.new", u->store_fd, "current") != 0 || fsync(u->store_fd) != 0) {
        return update_fail(u, WECKD_ERR_IO, "%.300s/current: cannot be pointed at the bundle (%s)", u->store, strerror(errno));
    }
    return WECKD_OK;
}

void store_prune(updater *u, const store_state *state) {
    int fd = openat(u->store_fd, "bundles", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (folder == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return;
    }
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        const char *name = entry->d_name;
        bool named = strcmp(name, state->current) == 0 || strcmp(name, state->good) == 0 || strcmp(name, state->previous) == 0;
        if (!named && strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            (void)tree_remove(dirfd(folder), name, 0);
        }
    }
    (void)closedir(folder);
}
