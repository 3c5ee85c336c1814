/* SPDX-License-Identifier: Apache-2.0 */
#include "trees/tree.h"

#include "base/log.h"
#include "files/file_io.h"
#include "files/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

bool tree_write(int fd, const void *from, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
        ssize_t put = write(fd, (const char *)from + done, bytes - done);
        if (put < 0 && errno != EINTR) {
            return false;
        }
        done += put > 0 ? (size_t)put : 0;
    }
    return true;
}

int tree_open_parent(int fd, const char *path, const char **name) {
    int at = openat(fd, ".", FOLDER);
    for (const char *slash = strchr(path, '/'); at >= 0 && slash != NULL; slash = strchr(path, '/')) {
        char part[256];
        size_t length = (size_t)(slash - path);
        int next = -1;
        if (length >= sizeof part) {
            errno = ENAMETOOLONG;
        } else {
            memcpy(part, path, length);
            part[length] = '\0';
            if (mkdirat(at, part, 0755) == 0 || errno == EEXIST) {
                next = openat(at, part, FOLDER);
            }
        }
        weckd_close_keeping_errno(at);
        at = next;
        path = slash + 1;
    }
    *name = path;
    return at;
}

static int remove_one(int fd, const char *name, void *depth) { return tree_remove(fd, name, *(int *)depth + 1); }

int tree_remove(int fd, const char *name, int depth) {
    if (unlinkat(fd, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    if ((errno != EISDIR && errno != EPERM) || depth > 4 * UPDATE_MAX_DEPTH) {
        return -1;
    }
    int below = openat(fd, name, FOLDER);
    if (below < 0) {
        return -1;
    }
    int result = weckd_folder_each(below, remove_one, &depth);
    weckd_close_keeping_errno(below);
    return result == 0 ? unlinkat(fd, name, AT_REMOVEDIR) : -1;
}

static int sync_one(int fd, const char *name, void *depth) {
    int one = openat(fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat about;
    int result = one < 0 ? -1 : fstat(one, &about);
    if (result == 0) {
        result = S_ISDIR(about.st_mode) ? tree_sync(one, *(int *)depth + 1) : fsync(one);
    }
    if (one >= 0) {
        weckd_close_keeping_errno(one);
    }
    return result;
}

int tree_sync(int fd, int depth) {
    if (depth > UPDATE_MAX_DEPTH) {
        errno = ELOOP;
        return -1;
    }
    return weckd_folder_each(fd, sync_one, &depth) == 0 ? fsync(fd) : -1;
}

typedef struct copying {
    updater *u;
    int to_fd;
    tree_budget *budget;
    int depth;
} copying;

static int copy_file(const copying *job, int from, const char *name, uint64_t bytes) {
    tree_budget *budget = job->budget;
    if (budget->files_left == 0 || bytes > budget->bytes_left) {
        return log_fail(job->u, WECKD_ERR_LIMIT, "%.200s: the bundle holds more than the %u files or %u MiB that are accepted",
                        name, UPDATE_MAX_FILES, job->u->max_mib);
    }
    budget->files_left--;
    budget->bytes_left -= bytes;
    int to = openat(job->to_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    bool good = to >= 0;
    static char chunk[1 << 16];
    while (good && bytes > 0) {
        size_t want = bytes < sizeof chunk ? (size_t)bytes : sizeof chunk;
        good = weckd_read_all(from, chunk, want) == (ssize_t)want && tree_write(to, chunk, want);
        bytes -= want;
    }
    int saved_errno = errno;
    good = (to < 0 || close(to) == 0) && good;
    return good ? WECKD_OK : log_fail(job->u, WECKD_ERR_IO, "%.200s: cannot be copied (%s)", name, strerror(saved_errno));
}

static int copy_tree(const copying *job, int from_fd);

static int copy_one(int fd, const char *name, void *context) {
    const copying *job = context;
    if (job->depth == 0 && weckd_path_is_device(name)) {
        return 0;
    }
    int from = openat(fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat about;
    if (from < 0 || fstat(from, &about) != 0 || !(S_ISREG(about.st_mode) || S_ISDIR(about.st_mode))) {
        int status = log_fail(job->u, WECKD_ERR_LINK, "%.200s: expected a plain file or folder", name);
        if (from >= 0) {
            (void)close(from);
        }
        return status;
    }
    int status;
    if (S_ISREG(about.st_mode)) {
        status = copy_file(job, from, name, (uint64_t)about.st_size);
    } else {
        copying below = *job;
        below.depth++;
        below.to_fd = mkdirat(job->to_fd, name, 0755) == 0 ? openat(job->to_fd, name, FOLDER) : -1;
        status = below.to_fd < 0 ? log_fail(job->u, WECKD_ERR_IO, "%.200s: cannot be made (%s)", name, strerror(errno))
                                 : copy_tree(&below, from);
        if (below.to_fd >= 0) {
            (void)close(below.to_fd);
        }
    }
    (void)close(from);
    return status;
}

static int copy_tree(const copying *job, int from_fd) {
    if (job->depth > UPDATE_MAX_DEPTH) {
        return log_fail(job->u, WECKD_ERR_LIMIT, "folders more than %d deep", UPDATE_MAX_DEPTH);
    }
    copying own = *job;
    int status = weckd_folder_each(from_fd, copy_one, &own);
    return status == WECKD_FOLDER_UNREADABLE ? log_fail(job->u, WECKD_ERR_IO, "the bundle's folder cannot be listed") : status;
}

int tree_copy(updater *u, int from_fd, int to_fd, tree_budget *budget) {
    copying job = {.u = u, .to_fd = to_fd, .budget = budget};
    return copy_tree(&job, from_fd);
}
