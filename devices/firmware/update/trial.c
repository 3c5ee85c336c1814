/* SPDX-License-Identifier: Apache-2.0 */
#include "trial.h"

#include "child.h"
#include "say.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct answer {
    int status;
    weckd_contract contract;
    char message[WECKD_MESSAGE_BYTES];
} answer;

/* What the child does: everything that reads a bundle or loads a model. Its answer goes up the pipe. */
static void give_answer(const updater *u, const char *path, uint64_t at_least, bool run, int pipe_fd) {
    static answer said;
    weckd_options options = {.public_key_pem = u->key_pem,
                             .at_least = at_least,
                             .backend = u->backend,
                             .library = u->library,
                             .message = said.message};
    weckd_bundle *bundle = NULL;
    said.status = run ? weckd_open(path, &options, &bundle) : weckd_check(path, &options, &said.contract);
    if (run && said.status == WECKD_OK) {
        said.contract = *weckd_contract_of(bundle);
        said.status = weckd_selftest(bundle, NULL);
        if (said.status != WECKD_OK) {
            (void)snprintf(said.message, sizeof said.message, "%s", weckd_message(bundle));
        }
    }
    weckd_close(bundle);
    (void)tree_write(pipe_fd, &said, sizeof said);
    _exit(0);
}

/* Read as much as was promised before the time is over; fewer bytes: the child has crashed, or hangs. */
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

static int ask(updater *u, const char *path, uint64_t at_least, bool run, weckd_contract *contract) {
    const char *what = run ? "self-test" : "proof";
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return update_fail(u, WECKD_ERR_IO, "no pipe for the %s (%s)", what, strerror(errno));
    }
    pid_t child = child_start(u);
    if (child == 0) {
        (void)close(ends[0]);
        give_answer(u, path, at_least, run, ends[1]);
    }
    (void)close(ends[1]);
    static answer said;
    size_t got = 0;
    if (child > 0) {
        int how = 0;
        got = read_before(ends[0], &said, sizeof said, child_now_ms() + (int64_t)u->timeout_s * 1000);
        (void)child_end(child, 0, &how); /* it has said everything, or never will */
    }
    (void)close(ends[0]);
    if (got < sizeof said) {
        return update_fail(u, WECKD_ERR_RUN, "the %s crashed, or did not end within %u s", what, u->timeout_s);
    }
    said.message[sizeof said.message - 1] = '\0';
    if (said.status != WECKD_OK) {
        return update_fail(u, said.status, "%s: %s", weckd_status_text(said.status), said.message);
    }
    if (contract != NULL) {
        *contract = said.contract;
    }
    return WECKD_OK;
}

int trial_prove(updater *u, const char *path, uint64_t at_least, weckd_contract *contract) {
    return ask(u, path, at_least, false, contract);
}

int trial_run(updater *u, const char *path, uint64_t at_least) { return ask(u, path, at_least, true, NULL); }

int trial_prepare(updater *u, const char *path) {
    if (u->prepare == NULL) {
        return WECKD_OK;
    }
    pid_t child = child_start(u);
    if (child == 0) {
        char *const arguments[] = {(char *)(uintptr_t)u->prepare, (char *)(uintptr_t)path, NULL};
        (void)execv(u->prepare, arguments);
        _exit(127);
    }
    int how = 0;
    if (child > 0 && !child_end(child, child_now_ms() + (int64_t)u->prepare_s * 1000, &how)) {
        return update_fail(u, WECKD_ERR_RUN, "%.300s: expected it to prepare the bundle within %u s; it was ended", u->prepare,
                           u->prepare_s);
    }
    if (child < 0 || !WIFEXITED(how) || WEXITSTATUS(how) != 0) {
        return update_fail(u, WECKD_ERR_RUN, "%.300s: expected it to prepare the bundle, but it failed", u->prepare);
    }
    return WECKD_OK;
}
