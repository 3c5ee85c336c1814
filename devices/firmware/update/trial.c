/* SPDX-License-Identifier: Apache-2.0 */
#include "trial.h"

#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MANIFEST_BYTES (64u << 20)

static int path_of(updater *u, const char *folder, char path[UPDATE_PATH_BYTES]) {
    int length = snprintf(path, UPDATE_PATH_BYTES, "%s/%s", u->store, folder);
    return length > 0 && length < UPDATE_PATH_BYTES ? WECKD_OK
                                                    : update_fail(u, WECKD_ERR_LIMIT, "the store's path is too long");
}

static weckd_options demands(const updater *u, uint64_t at_least, char message[WECKD_MESSAGE_BYTES]) {
    message[0] = '\0';
    return (weckd_options){.public_key_pem = u->key_pem,
                           .at_least = at_least,
                           .backend = u->backend,
                           .library = u->library,
                           .message = message};
}

int trial_prove(updater *u, const char *folder, uint64_t at_least, weckd_contract *contract) {
    char path[UPDATE_PATH_BYTES], message[WECKD_MESSAGE_BYTES];
    int status = path_of(u, folder, path);
    if (status != WECKD_OK) {
        return status;
    }
    weckd_options options = demands(u, at_least, message);
    status = weckd_check(path, &options, contract);
    return status == WECKD_OK ? status : update_fail(u, status, "%s: %s", weckd_status_text(status), message);
}

/* What the child does: everything that loads a model. Its answer goes up the pipe. */
static void answer(updater *u, const char *path, uint64_t at_least, int pipe_fd) {
    char message[WECKD_MESSAGE_BYTES];
    weckd_options options = demands(u, at_least, message);
    weckd_bundle *bundle = NULL;
    int status = weckd_open(path, &options, &bundle);
    if (status == WECKD_OK && (status = weckd_selftest(bundle, NULL)) != WECKD_OK) {
        (void)snprintf(message, sizeof message, "%s", weckd_message(bundle));
    }
    weckd_close(bundle);
    (void)(tree_write(pipe_fd, &status, sizeof status) && tree_write(pipe_fd, message, sizeof message));
    _exit(0);
}

static int64_t now_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Read as much as was promised before the time is over; fewer bytes: the child has crashed, or hangs. */
static size_t read_before(int fd, void *to, size_t bytes, int64_t end_ms) {
    size_t done = 0;
    while (done < bytes) {
        int64_t left = end_ms - now_ms();
        struct pollfd one = {.fd = fd, .events = POLLIN};
        int ready = left <= 0 ? 0 : poll(&one, 1, left > 60000 ? 60000 : (int)left);
        if ((ready == 0 && left <= 60000) || (ready < 0 && errno != EINTR)) {
            break;
        }
        if (ready <= 0) {
            continue;
        }
        ssize_t got = read(fd, (char *)to + done, bytes - done);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            break;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return done;
}

int trial_run(updater *u, const char *folder, uint64_t at_least) {
    char path[UPDATE_PATH_BYTES];
    int status = path_of(u, folder, path), ends[2];
    if (status != WECKD_OK) {
        return status;
    }
    (void)fflush(NULL);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return update_fail(u, WECKD_ERR_IO, "no pipe for the self-test (%s)", strerror(errno));
    }
    pid_t child = fork();
    if (child == 0) {
        (void)close(ends[0]);
        answer(u, path, at_least, ends[1]);
    }
    (void)close(ends[1]);
    struct {
        int status;
        char message[WECKD_MESSAGE_BYTES];
    } said = {.status = WECKD_ERR_RUN};
    size_t got = child < 0 ? 0 : read_before(ends[0], &said, sizeof said, now_ms() + (int64_t)u->timeout_s * 1000);
    (void)close(ends[0]);
    int how = 0;
    if (child > 0) {
        if (got < sizeof said) {
            (void)kill(child, SIGKILL); /* it hangs, or it is dead already */
        }
        while (waitpid(child, &how, 0) < 0 && errno == EINTR) {
        }
    }
    if (got < sizeof said) {
        return update_fail(u, WECKD_ERR_RUN, "the self-test crashed, or did not end within %u s", u->timeout_s);
    }
    said.message[sizeof said.message - 1] = '\0';
    return said.status == WECKD_OK
               ? WECKD_OK
               : update_fail(u, said.status, "%s: %s", weckd_status_text(said.status), said.message);
}

static void below_bundles(const char *id, char folder[16 + UPDATE_ID_DIGITS]) {
    (void)snprintf(folder, 16 + UPDATE_ID_DIGITS, "bundles/%s", id);
}

int trial_run_id(updater *u, const char *id) {
    char folder[16 + UPDATE_ID_DIGITS];
    below_bundles(id, folder);
    return trial_run(u, folder, 0);
}

int trial_prove_id(updater *u, const char *id, weckd_contract *contract) {
    char folder[16 + UPDATE_ID_DIGITS];
    below_bundles(id, folder);
    return trial_prove(u, folder, 0, contract);
}

int trial_id(updater *u, const char *folder, bundle_id id) {
    static const char key[] = "\"manifest_sha256\": \"";
    char path[UPDATE_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s/manifest.json", folder);
    int fd = openat(u->store_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    off_t bytes = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    char *text = bytes < 0 || bytes > (off_t)MANIFEST_BYTES ? NULL : malloc((size_t)bytes + 1);
    id[0] = '\0';
    if (text != NULL && lseek(fd, 0, SEEK_SET) == 0 && tree_read(fd, text, (size_t)bytes) == (ssize_t)bytes) {
        text[bytes] = '\0';
        const char *found = strstr(text, key); /* once in a sealed manifest, which is proved by now */
        if (found != NULL && strnlen(found + sizeof key - 1, UPDATE_ID_DIGITS) == UPDATE_ID_DIGITS) {
            memcpy(id, found + sizeof key - 1, UPDATE_ID_DIGITS);
            id[UPDATE_ID_DIGITS] = '\0';
        }
    }
    free(text);
    if (fd >= 0) {
        (void)close(fd);
    }
    return store_is_id(id) ? WECKD_OK : update_fail(u, WECKD_ERR_FORMAT, "manifest.json: names no digest of its own");
}

int trial_prepare(updater *u, const char *folder) {
    char path[UPDATE_PATH_BYTES];
    int status = path_of(u, folder, path);
    if (status != WECKD_OK || u->prepare == NULL) {
        return status;
    }
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        char *const arguments[] = {(char *)(uintptr_t)u->prepare, path, NULL};
        (void)execv(u->prepare, arguments);
        _exit(127);
    }
    int how = 0;
    while (child > 0 && waitpid(child, &how, 0) < 0 && errno == EINTR) {
    }
    if (child < 0 || !WIFEXITED(how) || WEXITSTATUS(how) != 0) {
        return update_fail(u, WECKD_ERR_RUN, "%.300s: expected it to prepare the bundle, but it failed", u->prepare);
    }
    return WECKD_OK;
}
