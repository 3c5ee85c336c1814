/* SPDX-License-Identifier: Apache-2.0 */
#include "files/bundle_files.h"

#include "core/bounds.h"
#include "files/file_io.h"
#include "files/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int weckd_folder_open(const char *folder, weckd_error error) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : weckd_fail(error, WECKD_ERR_IO, "%.150s: expected a bundle's folder (%s)", folder, strerror(errno));
}

/* Go down one folder of a path after the other, so that none of them can be a link. */
static int open_below(int folder_fd, const char *path) {
    int at = fcntl(folder_fd, F_DUPFD_CLOEXEC, 0);
    const char *rest = path;
    for (const char *slash = strchr(rest, '/'); at >= 0 && slash != NULL; slash = strchr(rest, '/')) {
        char part[WECKD_MAX_PATH];
        size_t length = (size_t)(slash - rest);
        if (length >= sizeof part) {
            (void)close(at);
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(part, rest, length);
        part[length] = '\0';
        int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        weckd_close_keeping_errno(at);
        at = next;
        rest = slash + 1;
    }
    if (at < 0) {
        return -1;
    }
    int fd = openat(at, rest, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    weckd_close_keeping_errno(at);
    return fd;
}

int weckd_file_open(int folder_fd, const char *path, uint64_t *bytes, weckd_error error) {
    int fd = open_below(folder_fd, path);
    if (fd < 0) {
        int status = errno == ENOENT ? WECKD_ERR_LISTING : errno == ELOOP ? WECKD_ERR_LINK : WECKD_ERR_IO;
        return weckd_fail(error, status, "%.180s: cannot be opened (%s)", path, strerror(errno));
    }
    struct stat about;
    if (fstat(fd, &about) != 0) {
        int status = weckd_fail(error, WECKD_ERR_IO, "%.180s: cannot be looked at (%s)", path, strerror(errno));
        (void)close(fd);
        return status;
    }
    if (!S_ISREG(about.st_mode)) {
        (void)close(fd);
        return weckd_fail(error, WECKD_ERR_LINK, "%.180s: expected a plain file", path);
    }
    *bytes = (uint64_t)about.st_size;
    return fd;
}

int weckd_file_slurp(int folder_fd, const char *path, uint64_t max, char **data, size_t *bytes, weckd_error error) {
    uint64_t size = 0;
    int fd = weckd_file_open(folder_fd, path, &size, error);
    if (fd < 0) {
        return fd;
    }
    int status = WECKD_OK;
    char *text = NULL;
    if (size > max) {
        status = weckd_fail(error, WECKD_ERR_LIMIT, "%.150s: expected at most %llu bytes, found %llu", path,
                            (unsigned long long)max, (unsigned long long)size);
    } else if ((text = malloc((size_t)size + 1)) == NULL) {
        status = weckd_fail(error, WECKD_ERR_MEMORY, "%.150s: no memory for %llu bytes", path, (unsigned long long)size);
    } else if (weckd_read_all(fd, text, (size_t)size) != (ssize_t)size) {
        status = weckd_fail(error, WECKD_ERR_IO, "%.180s: cannot be read", path);
    } else {
        text[size] = '\0';
        *data = text;
        *bytes = (size_t)size;
        text = NULL;
    }
    free(text);
    (void)close(fd);
    return status;
}

int weckd_file_check(int folder_fd, const char *path, uint64_t bytes, const uint8_t digest[WECKD_SHA256_BYTES], void *into,
                     weckd_error error) {
    uint64_t size = 0;
    int fd = weckd_file_open(folder_fd, path, &size, error);
    if (fd < 0) {
        return fd;
    }
    if (size != bytes) {
        (void)close(fd);
        return weckd_fail(error, WECKD_ERR_DIGEST, "%.150s: expected %llu bytes, found %llu", path, (unsigned long long)bytes,
                          (unsigned long long)size);
    }
    uint8_t chunk[16384], found[WECKD_SHA256_BYTES];
    weckd_hash hash;
    weckd_hash_start(&hash);
    uint64_t left = bytes;
    while (left > 0) {
        size_t want = left < sizeof chunk ? (size_t)left : sizeof chunk;
        uint8_t *to = into == NULL ? chunk : (uint8_t *)into + (bytes - left);
        if (weckd_read_all(fd, to, want) != (ssize_t)want) {
            break;
        }
        weckd_hash_add(&hash, to, want);
        left -= want;
    }
    weckd_hash_end(&hash, found);
    (void)close(fd);
    if (left > 0) {
        return weckd_fail(error, WECKD_ERR_IO, "%.180s: cannot be read to its end", path);
    }
    if (memcmp(found, digest, sizeof found) != 0) {
        return weckd_fail(error, WECKD_ERR_DIGEST, "%.180s: its SHA-256 is not the listed one; it was changed", path);
    }
    return WECKD_OK;
}

typedef struct walk {
    int (*found)(const char *path, void *context, weckd_error error);
    void *context;
    weckd_error error;
    char path[WECKD_MAX_PATH];
    size_t length; /* bytes of the path of the folder that is listed */
    int depth;     /* depth of the folder that is listed; 0: the bundle's own */
} walk;

static int walk_folder(walk *state, int folder_fd);

/* Fail for an entry that the system does not show; no failure where it has just gone from the device's folder, in which another
 * process may rename and remove files at any time. */
static int not_shown(const walk *state, const char *what) {
    if (errno == ENOENT && weckd_path_is_device(state->path)) {
        return WECKD_OK;
    }
    return weckd_fail(state->error, WECKD_ERR_IO, "%.180s: cannot be %s (%s)", state->path, what, strerror(errno));
}

static int walk_entry(int folder_fd, const char *name, void *context) {
    walk *state = context;
    size_t length = state->length;
    int written = snprintf(state->path + length, sizeof state->path - length, "%s%s", length > 0 ? "/" : "", name);
    if (written < 0 || (size_t)written >= sizeof state->path - length) {
        state->path[length] = '\0';
        return weckd_fail(state->error, WECKD_ERR_LIMIT, "%.150s: holds a path of %d bytes or more", state->path, WECKD_MAX_PATH);
    }
    struct stat about;
    if (fstatat(folder_fd, name, &about, AT_SYMLINK_NOFOLLOW) != 0) {
        return not_shown(state, "looked at");
    }
    if (S_ISREG(about.st_mode)) {
        return state->found(state->path, state->context, state->error);
    }
    if (!S_ISDIR(about.st_mode)) {
        return weckd_fail(state->error, WECKD_ERR_LINK, "%.180s: a link or a special file", state->path);
    }
    if (state->depth == WECKD_MAX_DEPTH) {
        return weckd_fail(state->error, WECKD_ERR_LIMIT, "%.150s: folders more than %d deep", state->path, WECKD_MAX_DEPTH);
    }
    int below = openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below < 0) {
        return not_shown(state, "opened");
    }
    state->length = length + (size_t)written;
    state->depth++;
    int status = walk_folder(state, below);
    state->depth--;
    state->length = length;
    (void)close(below);
    return status;
}

static int walk_folder(walk *state, int folder_fd) {
    int status = weckd_folder_each(folder_fd, walk_entry, state);
    if (status == WECKD_FOLDER_UNREADABLE) {
        state->path[state->length] = '\0';
        return weckd_fail(state->error, WECKD_ERR_IO, "%.180s: cannot be listed (%s)",
                          state->length > 0 ? state->path : "the bundle's folder", strerror(errno));
    }
    return status;
}

int weckd_files_walk(int folder_fd, int (*found)(const char *path, void *context, weckd_error error), void *context,
                     weckd_error error) {
    walk state = {.found = found, .context = context, .error = error};
    return walk_folder(&state, folder_fd);
}
