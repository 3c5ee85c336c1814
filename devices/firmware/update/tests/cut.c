/* A power cut and a failing disk, for tests: preloaded into a program, it ends it right before its N-th change to the disk, or
 * has changes fail from the N-th on.
 *
 *   WECKD_CUT_AT=N       the change that no longer happens (of a write, half still does); one more than there are:
 *                        right behind the end; 0: count alone
 *   WECKD_CUT_COUNT=FILE where the number of changes is written at a normal end
 *   WECKD_CUT_LOSE=DIR   harder: whatever was not brought to the disk by fsync is lost too. A file written and not synced is
 *                        empty afterwards; a name made, moved or removed whose folder was not synced is as it was before.
 *                        DIR, on the same file system, keeps what is needed for that.
 *   WECKD_FAULT=KIND       changes fail: "read-only" (EROFS), "full" (ENOSPC, where room is needed) or "broken" (EIO)
 *   WECKD_FAULT_BELOW=DIR  the files and folders whose changes fail; no link in the path
 *   WECKD_FAULT_FROM=N     the first change that fails; 1 where it is not given
 *   WECKD_FAULT_READ=NAME  no file of that name can be read (EIO)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST 4096
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

typedef struct place {
    int fd;
    struct stat about;
    char name[256];
    bool pending;
} place;

typedef struct change {
    enum { MADE, MADE_FOLDER, MOVED, REMOVED, REMOVED_FOLDER } kind;
    place from, to; /* `to` of MOVED alone */
    int saved;      /* number of the link that keeps what was there; -1: nothing */
} change;

typedef struct dirty {
    int fd;
    struct stat about;
} dirty;

static change changes[MOST];
static dirty files[MOST];
static size_t change_count, file_count;
static long done;

static const char *setting(const char *name) {
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool is_same(const struct stat *a, const struct stat *b) { return a->st_dev == b->st_dev && a->st_ino == b->st_ino; }

static void must(bool good, const char *what) {
    if (!good) {
        (void)dprintf(2, "cut: %s: %s\n", what, strerror(errno));
        _exit(87);
    }
}

static int save_folder(void) {
    int fd = REAL(openat)(AT_FDCWD, setting("WECKD_CUT_LOSE"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(fd >= 0, "WECKD_CUT_LOSE");
    return fd;
}

static void undo(const change *one) {
    if (one->kind == MADE) {
        (void)REAL(unlinkat)(one->from.fd, one->from.name, 0);
    } else if (one->kind == MADE_FOLDER) {
        (void)REAL(unlinkat)(one->from.fd, one->from.name, AT_REMOVEDIR);
    } else if (one->kind == MOVED) {
        (void)REAL(renameat)(one->to.fd, one->to.name, one->from.fd, one->from.name);
    } else if (one->kind == REMOVED_FOLDER) {
        (void)REAL(mkdirat)(one->from.fd, one->from.name, 0755);
    }
    if (one->saved >= 0) {
        const place *where = one->kind == MOVED ? &one->to : &one->from;
        char name[32];
        int save = save_folder();
        (void)snprintf(name, sizeof name, "%d", one->saved);
        (void)linkat(save, name, where->fd, where->name, 0);
        (void)close(save);
    }
}

static void cut(void) {
    for (size_t i = 0; i < file_count; i++) {
        (void)ftruncate(files[i].fd, 0);
    }
    for (size_t i = change_count; i > 0; i--) {
        if (changes[i - 1].from.pending || changes[i - 1].to.pending) {
            undo(&changes[i - 1]);
        }
    }
    _exit(86);
}

/* One more change is about to happen; true: it is the one that must not. */
static bool is_last(void) {
    const char *at = setting("WECKD_CUT_AT");
    done++;
    return at != NULL && done == strtol(at, NULL, 10);
}

static void step(void) {
    if (is_last()) {
        cut();
    }
}

__attribute__((destructor)) static void report(void) {
    if (is_last()) {
        cut(); /* right behind the end */
    }
    done--;
    const char *path = setting("WECKD_CUT_COUNT");
    int fd = path == NULL ? -1 : REAL(openat)(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd >= 0) {
        (void)dprintf(fd, "%ld\n", done);
        (void)close(fd);
    }
}

/* Path of a descriptor, or of what lies below it. */
static void whole_path(int fd, const char *path, char whole[8192]) {
    char link[64];
    ssize_t bytes = 0;
    if (path == NULL || path[0] != '/') {
        (void)snprintf(link, sizeof link, fd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", fd);
        bytes = readlink(link, whole, 4096);
        must(bytes > 0, link);
    }
    (void)snprintf(whole + bytes, 8192 - (size_t)bytes, "%s%s", bytes > 0 && path != NULL ? "/" : "", path == NULL ? "" : path);
}

/* The error that a change gets which was counted just now; 0: none. */
static int fault(int fd, const char *path, bool needs_room) {
    const char *kind = setting("WECKD_FAULT"), *below = setting("WECKD_FAULT_BELOW"), *from = setting("WECKD_FAULT_FROM");
    if (kind == NULL || (from != NULL && done < strtol(from, NULL, 10))) {
        return 0;
    }
    must(below != NULL, "WECKD_FAULT_BELOW");
    char whole[8192];
    whole_path(fd, path, whole);
    size_t length = strlen(below);
    if (strncmp(whole, below, length) != 0 || (whole[length] != '/' && whole[length] != '\0')) {
        return 0;
    }
    if (strcmp(kind, "full") == 0) {
        return needs_room ? ENOSPC : 0;
    }
    return strcmp(kind, "read-only") == 0 ? EROFS : EIO;
}

static int failed(int error) {
    errno = error;
    return -1;
}

static bool cannot_be_read(const char *path) {
    const char *name = setting("WECKD_FAULT_READ"), *slash = strrchr(path, '/');
    return name != NULL && strcmp(slash == NULL ? path : slash + 1, name) == 0;
}

static place at(int fd, const char *path) {
    place where = {.pending = true};
    char above[4096];
    const char *slash = strrchr(path, '/');
    (void)snprintf(above, sizeof above, "%.*s", slash == NULL ? 1 : (int)(slash - path) + (slash == path), slash == NULL ? "." : path);
    (void)snprintf(where.name, sizeof where.name, "%s", slash == NULL ? path : slash + 1);
    where.fd = REAL(openat)(fd, above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(where.fd >= 0 && fstat(where.fd, &where.about) == 0, path);
    return where;
}

/* Keep what lies there under another name; -1: nothing does, or it is a folder. */
static int save(const place *where) {
    struct stat about;
    if (fstatat(where->fd, where->name, &about, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(about.st_mode)) {
        return -1;
    }
    static int number;
    char name[32];
    int folder = save_folder();
    (void)snprintf(name, sizeof name, "%d", number);
    must(linkat(where->fd, where->name, folder, name, 0) == 0, where->name);
    (void)close(folder);
    return number++;
}

static void keep(change one) {
    must(change_count < MOST, "too many changes");
    changes[change_count++] = one;
}

static void soil(int fd) {
    struct stat about;
    must(fstat(fd, &about) == 0, "fstat");
    for (size_t i = 0; i < file_count; i++) {
        if (is_same(&files[i].about, &about)) {
            return;
        }
    }
    must(file_count < MOST, "too many files");
    files[file_count++] = (dirty){.fd = fcntl(fd, F_DUPFD_CLOEXEC, 100), .about = about};
}

static int open_any(int fd, const char *path, int flags, mode_t mode) {
    struct stat about;
    bool changing = (flags & (O_CREAT | O_TRUNC)) != 0;
    bool is_new = changing && fstatat(fd, path, &about, AT_SYMLINK_NOFOLLOW) != 0;
    if (changing) {
        step();
    }
    if (cannot_be_read(path)) {
        return failed(EIO);
    }
    int error = is_new || (flags & O_ACCMODE) != O_RDONLY ? fault(fd, path, false) : 0;
    if (error != 0) {
        return failed(error);
    }
    int opened = REAL(openat)(fd, path, flags, mode);
    if (opened >= 0 && changing && setting("WECKD_CUT_LOSE") != NULL) {
        if (is_new) {
            keep((change){.kind = MADE, .from = at(fd, path), .saved = -1});
        }
        if ((flags & O_ACCMODE) != O_RDONLY) {
            soil(opened);
        }
    }
    return opened;
}

int openat(int fd, const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_any(fd, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_any(AT_FDCWD, path, flags, mode);
}

ssize_t write(int fd, const void *data, size_t bytes) {
    struct stat about;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        return REAL(write)(fd, data, bytes); /* talk, and pipes */
    }
    bool last = is_last();
    int error = fault(fd, NULL, true);
    if (error != 0 && last) {
        cut();
    }
    if (error != 0) {
        return failed(error);
    }
    if (setting("WECKD_CUT_LOSE") != NULL) {
        soil(fd);
    }
    ssize_t put = REAL(write)(fd, data, last ? bytes / 2 : bytes);
    if (last) {
        cut();
    }
    return put;
}

int fsync(int fd) {
    step();
    int error = fault(fd, NULL, false);
    if (error == EIO) {
        return failed(error);
    }
    struct stat about;
    int result = REAL(fsync)(fd);
    must(fstat(fd, &about) == 0, "fstat");
    for (size_t i = 0; i < file_count; i++) {
        if (is_same(&files[i].about, &about)) {
            (void)close(files[i].fd);
            files[i] = files[--file_count];
            break;
        }
    }
    for (size_t i = 0; S_ISDIR(about.st_mode) && i < change_count; i++) {
        changes[i].from.pending = changes[i].from.pending && !is_same(&changes[i].from.about, &about);
        changes[i].to.pending = changes[i].to.pending && !is_same(&changes[i].to.about, &about);
    }
    return result;
}

int mkdirat(int fd, const char *path, mode_t mode) {
    step();
    struct stat about;
    int error = fstatat(fd, path, &about, AT_SYMLINK_NOFOLLOW) == 0 ? EEXIST : fault(fd, path, true);
    if (error != 0) {
        return failed(error);
    }
    int result = REAL(mkdirat)(fd, path, mode);
    int kept = errno;
    if (result == 0 && setting("WECKD_CUT_LOSE") != NULL) {
        keep((change){.kind = MADE_FOLDER, .from = at(fd, path), .saved = -1});
    }
    errno = kept;
    return result;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int symlinkat(const char *target, int fd, const char *path) {
    step();
    int error = fault(fd, path, true);
    if (error != 0) {
        return failed(error);
    }
    int result = REAL(symlinkat)(target, fd, path);
    if (result == 0 && setting("WECKD_CUT_LOSE") != NULL) {
        keep((change){.kind = MADE, .from = at(fd, path), .saved = -1});
    }
    return result;
}

int unlinkat(int fd, const char *path, int flags) {
    step();
    struct stat about;
    int error = fstatat(fd, path, &about, AT_SYMLINK_NOFOLLOW) != 0 ? ENOENT : fault(fd, path, false);
    if (error != 0) {
        return failed(error);
    }
    change one = {.kind = flags == AT_REMOVEDIR ? REMOVED_FOLDER : REMOVED, .saved = -1};
    bool lose = setting("WECKD_CUT_LOSE") != NULL;
    if (lose) {
        one.from = at(fd, path);
        one.saved = save(&one.from);
    }
    int result = REAL(unlinkat)(fd, path, flags);
    int kept = errno;
    if (lose && result == 0) {
        keep(one);
    }
    errno = kept;
    return result;
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    step();
    int error = fault(to_fd, to, false);
    if (error != 0) {
        return failed(error);
    }
    change one = {.kind = MOVED, .saved = -1};
    bool lose = setting("WECKD_CUT_LOSE") != NULL;
    if (lose) {
        one.from = at(from_fd, from);
        one.to = at(to_fd, to);
        one.saved = save(&one.to);
    }
    int result = REAL(renameat)(from_fd, from, to_fd, to);
    int kept = errno;
    if (lose && result == 0) {
        keep(one);
    }
    errno = kept;
    return result;
}
