/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "base/child.h"
#include "base/log.h"
#include "files/file_io.h"
#include "trees/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

int store_open(updater *u, bool make) {
    u->store_fd = open(u->store, FOLDER);
    if (u->store_fd < 0 && errno == ENOENT && !make) {
        return log_fail(u, WECKD_ERR_LISTING, "%.300s: there is no store; install a bundle", u->store);
    }
    if (u->store_fd < 0 && errno == ENOENT && mkdir(u->store, 0755) == 0) {
        u->store_fd = open(u->store, FOLDER);
        int above = u->store_fd < 0 ? -1 : openat(u->store_fd, "..", FOLDER);
        if (above >= 0) {
            (void)fsync(above);
            (void)close(above);
        }
    }
    char *path = u->store_fd < 0 ? NULL : realpath(u->store, NULL);
    if (path == NULL || strlen(path) >= sizeof u->root) {
        errno = path != NULL ? ENAMETOOLONG : errno;
        free(path);
        store_close(u);
        return log_fail(u, WECKD_ERR_IO, "%.300s: the store cannot be opened (%s)", u->store, strerror(errno));
    }
    memcpy(u->root, path, strlen(path) + 1);
    free(path);
    return WECKD_OK;
}

int store_lock(updater *u, uint32_t seconds) {
    u->lock_fd = openat(u->store_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (u->lock_fd < 0) {
        int saved_errno = errno;
        u->lock_fd = openat(u->store_fd, "lock", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (u->lock_fd < 0) {
            return log_fail(u, WECKD_ERR_IO, "%.300s: the store cannot be locked (%s)", u->store, strerror(saved_errno));
        }
        log_warn("%.300s: the store cannot be written (%s)", u->store, strerror(saved_errno));
    }
    int64_t end_ms = child_now_ms() + (int64_t)seconds * 1000;
    while (flock(u->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        int saved_errno = errno;
        if (saved_errno == EWOULDBLOCK && child_now_ms() < end_ms) {
            child_sleep();
            continue;
        }
        store_unlock(u);
        return saved_errno == EWOULDBLOCK ? log_fail(u, WECKD_ERR_BUSY, "%.300s: another weckd-update is at work; try again later",
                                                     u->store)
                                   : log_fail(u, WECKD_ERR_IO, "%.300s: the store cannot be locked (%s)", u->store,
                                              strerror(saved_errno));
    }
    return WECKD_OK;
}

void store_unlock(updater *u) {
    if (u->lock_fd >= 0) {
        (void)close(u->lock_fd);
        u->lock_fd = -1;
    }
}

void store_close(updater *u) {
    int saved_errno = errno;
    store_unlock(u);
    if (u->store_fd >= 0) {
        (void)close(u->store_fd);
        u->store_fd = -1;
    }
    errno = saved_errno;
}

/* Tell whether an error means that the file is damaged, and so is replaced. Too many open files, for one, is no damage. */
static bool is_damage(int error) { return error == EIO || error == ELOOP || error == EISDIR || error == ENXIO || error == EUCLEAN; }

int store_read(updater *u, store_state *state) {
    memset(state, 0, sizeof *state);
    char text[STATE_BYTES + 1];
    int fd = openat(u->store_fd, "state", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? -1 : weckd_read_all(fd, text, STATE_BYTES);
    int saved_errno = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (bytes < 0) {
        return log_fail(u, saved_errno == ENOENT ? WECKD_ERR_LISTING : is_damage(saved_errno) ? WECKD_ERR_FORMAT : WECKD_ERR_IO,
                        "%.300s/state: cannot be read (%s)", u->store, strerror(saved_errno));
    }
    return state_parse(text, (size_t)bytes, state) ? WECKD_OK
                                                   : log_fail(u, WECKD_ERR_FORMAT, "%.300s/state: damaged", u->store);
}

int store_write(updater *u, const store_state *state) {
    if (u->lock_fd < 0) {
        return log_fail(u, WECKD_ERR_BUSY, "%.300s/state: is not written, as the store is not locked", u->store);
    }
    char text[STATE_BYTES];
    size_t bytes = state_print(state, text);
    int fd = openat(u->store_fd, "state.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    bool good = fd >= 0 && tree_write(fd, text, bytes) && fsync(fd) == 0;
    int saved_errno = errno;
    if (fd >= 0 && close(fd) != 0 && good) {
        saved_errno = errno;
        good = false;
    }
    errno = saved_errno;
    if (!good || renameat(u->store_fd, "state.new", u->store_fd, "state") != 0 || fsync(u->store_fd) != 0) {
        return log_fail(u, WECKD_ERR_IO, "%.300s/state: cannot be written (%s)", u->store, strerror(errno));
    }
    return WECKD_OK;
}

void store_clean(updater *u, const store_state *state) {
    if (u->lock_fd < 0) {
        return;
    }
    (void)tree_remove(u->store_fd, "staging", 0);
    int fd = openat(u->store_fd, "bundles", FOLDER | O_NOFOLLOW);
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

int store_path(updater *u, const char *below, const char *name, char path[UPDATE_PATH_BYTES]) {
    int length = snprintf(path, UPDATE_PATH_BYTES, "%s/%s%s", u->root, below, name);
    return length > 0 && length < UPDATE_PATH_BYTES ? WECKD_OK
                                                    : log_fail(u, WECKD_ERR_LIMIT, "the store's path is too long");
}

void store_read_link(updater *u, char path[UPDATE_PATH_BYTES]) {
    char link[UPDATE_PATH_BYTES];
    int length = snprintf(link, sizeof link, "%s/current", u->run);
    ssize_t bytes = length < 0 || length >= (int)sizeof link ? -1 : readlink(link, path, UPDATE_PATH_BYTES - 1);
    path[bytes > 0 ? bytes : 0] = '\0';
}

void store_running(updater *u, bundle_id id) {
    char path[UPDATE_PATH_BYTES], expected[UPDATE_PATH_BYTES];
    store_read_link(u, path);
    const char *name = strrchr(path, '/');
    id[0] = '\0';
    if (name != NULL && state_is_id(name + 1) && store_path(u, "bundles/", name + 1, expected) == WECKD_OK &&
        strcmp(path, expected) == 0) {
        memcpy(id, name + 1, sizeof(bundle_id));
    }
}

int store_set_link(updater *u, const char *path) {
    char pointed[UPDATE_PATH_BYTES];
    store_read_link(u, pointed);
    if (strcmp(pointed, path) == 0) {
        return WECKD_OK;
    }
    (void)mkdir(u->run, 0755);
    int fd = open(u->run, FOLDER);
    bool good = fd >= 0 && (unlinkat(fd, "current.new", 0) == 0 || errno == ENOENT) && symlinkat(path, fd, "current.new") == 0 &&
                renameat(fd, "current.new", fd, "current") == 0;
    int saved_errno = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return good ? WECKD_OK : log_fail(u, WECKD_ERR_IO, "%.300s/current: cannot be pointed at the bundle (%s)", u->run,
                                      strerror(saved_errno));
}
