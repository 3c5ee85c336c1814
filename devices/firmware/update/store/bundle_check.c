/* SPDX-License-Identifier: Apache-2.0 */
#include "store/bundle_check.h"

#include "base/child.h"
#include "base/log.h"
#include "trees/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct verdict {
    int status;
    weckd_contract contract;
    char message[WECKD_MESSAGE_BYTES];
} verdict;

/* In the child: read the bundle, load its model, write the verdict to the pipe. */
static void check_in_child(const updater *u, const char *path, uint64_t min_version, bool run, int pipe_fd) {
    static verdict result;
    weckd_options options = {.public_key_pem = u->key_pem,
                             .min_version = min_version,
                             .backend = u->backend,
                             .library = u->library,
                             .cache_dir = u->cache_dir,
                             .message = result.message};
    weckd_bundle *bundle = NULL;
    if (run && u->cache_dir != NULL) { /* it may lie in the folder of the link, which a start of the machine empties */
        (void)mkdir(u->run, 0755);
        (void)mkdir(u->cache_dir, 0755);
    }
    result.status = run ? weckd_open(path, &options, &bundle) : weckd_check(path, &options, &result.contract);
    if (run && result.status == WECKD_OK) {
        result.contract = *weckd_contract_of(bundle);
        result.status = weckd_selftest(bundle, NULL);
        if (result.status != WECKD_OK) {
            (void)snprintf(result.message, sizeof result.message, "%s", weckd_message(bundle));
        }
    }
    weckd_close(bundle);
    (void)tree_write(pipe_fd, &result, sizeof result);
    _exit(0);
}

/* Read `bytes` bytes before the time is over; fewer: the child has crashed, or hangs. */
static size_t read_before(int fd, void *to, size_t bytes, int64_t end_ms) {
    size_t done = 0;
    while (done < bytes) {
        int64_t left = end_ms - child_now_ms();
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

static int check(updater *u, const char *path, uint64_t min_version, bool run, weckd_contract *contract) {
    const char *what = run ? "self-test" : "verification";
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return log_fail(u, BUNDLE_UNCHECKED, "the system has no pipe for the %s (%s)", what, strerror(errno));
    }
    pid_t child = child_start(u);
    if (child < 0) {
        int saved_errno = errno;
        (void)close(ends[0]);
        (void)close(ends[1]);
        return log_fail(u, BUNDLE_UNCHECKED, "the system has no process for the %s (%s)", what, strerror(saved_errno));
    }
    if (child == 0) {
        (void)close(ends[0]);
        check_in_child(u, path, min_version, run, ends[1]);
    }
    (void)close(ends[1]);
    static verdict result;
    int wait_status = 0;
    size_t got = read_before(ends[0], &result, sizeof result, child_now_ms() + (int64_t)u->timeout_s * 1000);
    (void)child_end(child, 0, &wait_status); /* it has written everything, or never will */
    (void)close(ends[0]);
    if (got < sizeof result) {
        return log_fail(u, WECKD_ERR_RUN, "the %s crashed, or did not end within %u s", what, u->timeout_s);
    }
    result.message[sizeof result.message - 1] = '\0';
    if (result.status != WECKD_OK) {
        return log_fail(u, result.status, "%s: %s", weckd_status_text(result.status), result.message);
    }
    if (contract != NULL) {
        *contract = result.contract;
    }
    return WECKD_OK;
}

int bundle_verify(updater *u, const char *path, uint64_t min_version, weckd_contract *contract) {
    return check(u, path, min_version, false, contract);
}

int bundle_selftest(updater *u, const char *path, uint64_t min_version) { return check(u, path, min_version, true, NULL); }

int bundle_prepare(updater *u, const char *path) {
    if (u->prepare == NULL) {
        return WECKD_OK;
    }
    pid_t child = child_start(u);
    if (child == 0) {
        char *const arguments[] = {(char *)(uintptr_t)u->prepare, (char *)(uintptr_t)path, NULL};
        (void)execv(u->prepare, arguments);
        _exit(127);
    }
    if (child < 0) {
        return log_fail(u, BUNDLE_UNCHECKED, "%.300s: the system has no process for it (%s)", u->prepare, strerror(errno));
    }
    int wait_status = 0;
    if (!child_end(child, child_now_ms() + (int64_t)u->prepare_timeout_s * 1000, &wait_status)) {
        return log_fail(u, WECKD_ERR_RUN, "%.300s: expected it to prepare the bundle within %u s; it was ended", u->prepare,
                        u->prepare_timeout_s);
    }
    if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0) {
        return log_fail(u, WECKD_ERR_RUN, "%.300s: expected it to prepare the bundle, but it failed", u->prepare);
    }
    return WECKD_OK;
}
