/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"

#include "bounds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int weckd_folder_open(const char *folder, weckd_why why) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : weckd_fail(why, WECKD_ERR_IO, "%.150s: expected a bundle's folder (%s)", folder, strerror(errno));
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
        int kept = errno;
        (void)close(at);
        errno = kept;
        at = next;
        rest = slash + 1;
    }
    if (at < 0) {
        return -1;
    }
    int fd = openat(at, rest, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int kept = errno;
    (void)close(at);
    errno = kept;
    return fd;
}

int weckd_file_open(int folder_fd, const char *path, uint64_t *bytes, weckd_why why) {
    int fd = open_below(folder_fd, path);
    if (fd < 0) {
        int status = errno == ENOENT ? WECKD_ERR_LISTING : errno == ELOOP ? WECKD_ERR_LINK : WECKD_ERR_IO;
        return weckd_fail(why, status, "%.180s: cannot be opened (%s)", path, strerror(errno));
    }
    struct stat about;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        (void)close(fd);
        return weckd_fail(why, WECKD_ERR_LINK, "%.180s: expected a plain file", path);
    }
    *bytes = (uint64_t)about.st_size;
    return fd;
}

ssize_t weckd_file_read(int fd, void *to, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
        ssize_t got = read(fd, (char *)to + done, bytes - done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return WECKD_ERR_IO;
        }
        if (got == 0) {
            break;
        }
        done += (size_t)got;
    }
    return (ssize_t)done;
}

int weckd_file_slurp(int folder_fd, const char *path, uint64_t most, char **data, size_t *bytes, weckd_why why) {
    uint64_t size = 0;
    int fd = weckd_file_open(folder_fd, path, &size, why);
    if (fd < 0) {
        return fd;
    }
    int status = WECKD_OK;
    char *text = NULL;
    if (size > most) {
        status = weckd_fail(why, WECKD_ERR_LIMIT, "%.150s: expected at most %llu bytes, found %llu", path,
                            (unsigned long long)most, (unsigned long long)size);
    } else if ((text = malloc((size_t)size + 1)) == NULL) {
        status = weckd_fail(why, WECKD_ERR_MEMORY, "%.150s: no memory for %llu bytes", path, (unsigned long long)size);
    } else if (weckd_file_read(fd, text, (size_t)size) != (ssize_t)size) {
        status = weckd_fail(why, WECKD_ERR_IO, "%.180s: cannot be read", path);
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
                     weckd_why why) {
    uint64_t size = 0;
    int fd = weckd_file_open(folder_fd, path, &size, why);
    if (fd < 0) {
        return fd;
    }
    if (size != bytes) {
        (void)close(fd);
        return weckd_fail(why, WECKD_ERR_DIGEST, "%.150s: expected %llu bytes, found %llu", path, (unsigned long long)bytes,
                          (unsigned long long)size);
    }
    uint8_t chunk[16384], found[WECKD_SHA256_BYTES];
    weckd_hash hash;
    weckd_hash_start(&hash);
    uint64_t left = bytes;
    while (left > 0) {
        size_t want = left < sizeof chunk ? (size_t)left : sizeof chunk;
        uint8_t *to = into == NULL ? chunk : (uint8_t *)into + (bytes - left);
        if (weckd_file_read(fd, to, want) != (ssize_t)want) {
            break;
        }
        weckd_hash_add(&hash, to, want);
        left -= want;
    }
    weckd_hash_end(&hash, found);
    (void)close(fd);
    if (left > 0) {
        return weckd_fail(why, WECKD_ERR_IO, "%.180s: cannot be read to its end", path);
    }
    if (memcmp(found, digest, sizeof found) != 0) {
        return weckd_fail(why, WECKD_ERR_DIGEST, "%.180s: its SHA-256 is not the listed one; it was changed", path);
    }
    return WECKD_OK;
}

typedef struct walk {
    int (*found)(const char *path, void *context, weckd_why why);
    void *context;
    weckd_why why;
    char path[WECKD_MAX_PATH];
} walk;

static int walk_folder(walk *state, int folder_fd, size_t length, int depth);

static int walk_entry(walk *state, int folder_fd, const char *name, size_t length, int depth) {
    int written = snprintf(state->path + length, sizeof state->path - length, "%s%s", length > 0 ? "/" : "", name);
    if (written < 0 || (size_t)written >= sizeof state->path - length) {
        state->path[length] = '\0';
        return weckd_fail(state->why, WECKD_ERR_LIMIT, "%.150s: holds a path of %d bytes or more", state->path, WECKD_MAX_PATH);
    }
    struct stat about;
    if (fstatat(folder_fd, name, &about, AT_SYMLINK_NOFOLLOW) != 0) {
        return weckd_fail(state->why, WECKD_ERR_IO, "%.180s: cannot be looked at (%s)", state->path, strerror(errno));
    }
    if (S_ISREG(about.st_mode)) {
        return state->found(state->path, state->context, state->why);
    }
    if (!S_ISDIR(about.st_mode)) {
        return weckd_fail(state->why, WECKD_ERR_LINK, "%.180s: a link or a special file", state->path);
    }
    if (depth == WECKD_MAX_DEPTH) {
        return weckd_fail(state->why, WECKD_ERR_LIMIT, "%.150s: folders more than %d deep", state->path, depth);
    }
    int below = openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below < 0) {
        return weckd_fail(state->why, WECKD_ERR_IO, "%.180s: cannot be opened (%s)", state->path, strerror(errno));
    }
    return walk_folder(state, below, length + (size_t)written, depth + 1);
}

/* Takes over the descriptor. */
static int walk_folder(walk *state, int folder_fd, size_t length, int depth) {
    DIR *folder = fdopendir(folder_fd);
    if (folder == NULL) {
        (void)close(folder_fd);
        return weckd_fail(state->why, WECKD_ERR_IO, "%.180s: cannot be listed (%s)", state->path, strerror(errno));
    }
    int status = WECKD_OK;
    while (status == WECKD_OK) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (entry == NULL) {
            if (errno != 0) {
                status = weckd_fail(state->why, WECKD_ERR_IO, "%.180s: cannot be listed", state->path);
            }
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            status = walk_entry(state, folder_fd, entry->d_name, length, depth);
            if (status == WECKD_OK) {
                state->path[length] = '\0';
            }
        }
    }
    (void)closedir(folder);
    return status;
}

int weckd_files_walk(int folder_fd, int (*found)(const char *path, void *context, weckd_why why), void *context,
                     weckd_why why) {
    walk state = {.found = found, .context = context, .why = why};
    int own = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (own < 0) {
        return weckd_fail(why, WECKD_ERR_IO, "the bundle's folder cannot be listed (%s)", strerror(errno));
    }
    return walk_folder(&state, own, 0, 0);
}
