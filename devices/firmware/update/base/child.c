/* SPDX-License-Identifier: Apache-2.0 */
#include "base/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const int ENDINGS[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
#define ENDING_COUNT (sizeof ENDINGS / sizeof ENDINGS[0])

static volatile sig_atomic_t group; /* process group of the running child; 0: there is none */

int64_t child_now_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void child_sleep(void) {
    const struct timespec nap = {.tv_nsec = 2000000};
    (void)nanosleep(&nap, NULL);
}

static void end_both(int signal_number) {
    if (group > 0) {
        (void)kill(-group, SIGKILL);
    }
    _exit(128 + signal_number);
}

void child_handle_signals(void) {
    struct sigaction action = {.sa_handler = end_both};
    for (size_t i = 0; i < ENDING_COUNT; i++) {
        struct sigaction before;
        if (sigaction(ENDINGS[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) { /* nohup stays nohup */
            (void)sigaction(ENDINGS[i], &action, NULL);
        }
    }
    (void)signal(SIGCHLD, SIG_DFL); /* whoever started us may ignore it, and then no child could be waited for */
    (void)signal(SIGPIPE, SIG_IGN); /* a closed output ends nothing */
    (void)signal(SIGXFSZ, SIG_IGN);
}

static void reset_signals(void) {
    for (size_t i = 0; i < ENDING_COUNT; i++) {
        (void)signal(ENDINGS[i], SIG_DFL);
    }
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGXFSZ, SIG_DFL);
}

pid_t child_start(updater *u) {
    sigset_t endings, before;
    (void)sigemptyset(&endings);
    for (size_t i = 0; i < ENDING_COUNT; i++) {
        (void)sigaddset(&endings, ENDINGS[i]);
    }
    (void)fflush(NULL);
    (void)sigprocmask(SIG_BLOCK, &endings, &before); /* none arrives while the group has no name yet */
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        (void)setpgid(0, 0);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1); /* it died before the line above */
        }
        if (u->lock_fd >= 0) {
            (void)close(u->lock_fd); /* whatever becomes of this process, it does not hold the lock */
            u->lock_fd = -1;
        }
        reset_signals();
    } else if (child > 0) {
        (void)setpgid(child, child);
        group = child;
    }
    int saved_errno = errno;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    errno = saved_errno;
    return child;
}

bool child_end(pid_t child, int64_t end_ms, int *wait_status) {
    bool ended = false;
    *wait_status = 0;
    for (;;) {
        siginfo_t about = {.si_pid = 0};
        int status = waitid(P_PID, (id_t)child, &about, WEXITED | WNOHANG | WNOWAIT);
        ended = status == 0 && about.si_pid == child;
        if (ended || (status != 0 && errno != EINTR) || child_now_ms() >= end_ms) {
            break;
        }
        child_sleep();
    }
    /* Its process id is not reused before it is waited for. */
    (void)kill(-child, SIGKILL);
    (void)kill(child, SIGKILL);
    group = 0;
    int64_t grace_ms = child_now_ms() + CHILD_GRACE_S * 1000;
    while (waitpid(child, wait_status, WNOHANG) == 0 && child_now_ms() < grace_ms) {
        child_sleep(); /* a process inside a call to a broken disk dies only when that call ends, if ever */
    }
    return ended;
}
