/* weckd-update: installs bundles on the device so that a power cut at any moment leaves one that runs. See docs/updates.md.
 * SPDX-License-Identifier: Apache-2.0 */
#include "child.h"
#include "commands.h"
#include "say.h"
#include "store.h"
#include "tree.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char USAGE[] =
    "usage: weckd-update install TAR|FOLDER | boot | confirm | rollback | status   --store DIR (--key PEM | --unsigned)\n"
    "  --store DIR       where bundles are kept; a folder of its own\n"
    "  --run DIR         where `boot` makes the link `current` to the bundle that runs; a folder in memory (/run/weckd)\n"
    "  --factory FOLDER  a bundle outside the store, which `boot` takes where none of the store runs\n"
    "  --key PEM         public key; only bundles that its owner signed are taken\n"
    "  --unsigned        take any bundle that is whole: for trying out\n"
    "  --prepare FILE    program run with a staged bundle's folder before its self-test, such as one that builds an engine\n"
    "  --prepare-timeout S  seconds that it may take (1800)\n"
    "  --backend NAME    what runs the self-test; --library FILE: its runtime library\n"
    "  --tries N         starts of a bundle before it must be confirmed (3)\n"
    "  --timeout S       seconds that one self-test may take (120)\n"
    "  --wait S          seconds to wait for another weckd-update; then boot goes on without it, the others fail (30)\n"
    "  --most-mib N      size of an unpacked bundle that is still taken (1024)\n"
    "  --again           take a bundle that was given up on this device before\n"
    "exit codes: 0 done (boot: a bundle runs, perhaps an earlier one), 1 failed, 2 wrong request\n";

static int wrong(const char *what) {
    (void)fprintf(stderr, "error: %s\n%s", what, USAGE);
    return 2;
}

static bool read_number(const char *text, unsigned long most, uint32_t *value) {
    char *end = NULL;
    unsigned long number = strtoul(text, &end, 10);
    *value = (uint32_t)number;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && number >= 1 && number <= most;
}

/* false: no plain file of at most 4 KiB. */
static bool read_key(const char *path, char key[4096]) {
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe is not waited for */
    struct stat about;
    bool plain = fd >= 0 && fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
    ssize_t bytes = plain ? tree_read(fd, key, 4096) : -1;
    if (fd >= 0) {
        (void)close(fd);
    }
    key[bytes > 0 && bytes < 4096 ? bytes : 0] = '\0';
    return bytes > 0 && bytes < 4096 && strlen(key) == (size_t)bytes;
}

static int run_install(updater *u, const char *source) {
    int status = store_open(u, true);
    status = status != WECKD_OK ? status : store_lock(u, 0);
    return status != WECKD_OK ? status : update_install(u, source);
}

/* Run a command that changes the store: it must be there, and be ours. */
static int run_locked(updater *u, int (*command)(updater *u)) {
    int status = store_open(u, false);
    status = status != WECKD_OK ? status : store_lock(u, u->wait_s);
    return status != WECKD_OK ? status : command(u);
}

/* Run a command that is of use without changing anything. */
static int run_anyway(updater *u, int (*command)(updater *u)) {
    if (store_open(u, false) == WECKD_OK && store_lock(u, u->wait_s) != WECKD_OK) {
        update_warn("%s", u->why);
    }
    return command(u);
}

static const char *const COMMANDS[] = {"install", "boot", "confirm", "rollback", "status"};

static int run(updater *u, size_t command, const char *source) {
    int status = WECKD_OK;
    switch (command) {
    case 0: status = run_install(u, source); break;
    case 1: status = run_anyway(u, update_boot); break;
    case 2: status = run_locked(u, update_confirm); break;
    case 3: status = run_locked(u, update_rollback); break;
    default: status = run_anyway(u, update_status); break;
    }
    store_close(u);
    if (status != WECKD_OK) {
        (void)fprintf(stderr, "error: %s\n", u->why);
    }
    return status == WECKD_OK ? 0 : 1;
}

/* What is opened later must not get the number of standard output, or of standard error: what is said would go there. */
static void hold_standard_files(void) {
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO) {
        fd = open("/dev/null", O_RDWR);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

int main(int argc, char **argv) {
    static char key[4096];
    static updater u = {.store_fd = -1, .lock_fd = -1, .run = "/run/weckd", .most_tries = 3, .wait_s = 30, .timeout_s = 120,
                        .prepare_s = 1800, .most_mib = 1024};
    static const struct option options[] = {
        {"store", required_argument, NULL, 's'},    {"run", required_argument, NULL, 'r'},
        {"factory", required_argument, NULL, 'f'},  {"key", required_argument, NULL, 'k'},
        {"unsigned", no_argument, NULL, 'u'},       {"prepare", required_argument, NULL, 'p'},
        {"backend", required_argument, NULL, 'b'},  {"library", required_argument, NULL, 'l'},
        {"tries", required_argument, NULL, 't'},    {"timeout", required_argument, NULL, 'o'},
        {"wait", required_argument, NULL, 'w'},     {"prepare-timeout", required_argument, NULL, 'e'},
        {"most-mib", required_argument, NULL, 'm'}, {"again", no_argument, NULL, 'a'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    bool is_unsigned = false, good = true;
    hold_standard_files();
    child_end_with_me();
    for (int option = 0; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (option) {
        case 's': u.store = optarg; break;
        case 'r': u.run = optarg; break;
        case 'f': u.factory = optarg; break;
        case 'k':
            if (!read_key(optarg, key)) {
                return wrong("--key: expected a PEM file of less than 4 KiB");
            }
            u.key_pem = key;
            break;
        case 'u': is_unsigned = true; break;
        case 'p': u.prepare = optarg; break;
        case 'b': u.backend = optarg; break;
        case 'l': u.library = optarg; break;
        case 'a': u.again = true; break;
        case 't': good = good && read_number(optarg, 86400, &u.most_tries); break;
        case 'o': good = good && read_number(optarg, 86400, &u.timeout_s); break;
        case 'w': good = good && read_number(optarg, 86400, &u.wait_s); break;
        case 'e': good = good && read_number(optarg, 86400, &u.prepare_s); break;
        case 'm': good = good && read_number(optarg, 1ul << 20, &u.most_mib); break;
        case 'h': printf("%s", USAGE); return 0;
        default: return wrong("unknown option");
        }
    }
    if (!good) {
        return wrong("--tries, --timeout, --wait, --prepare-timeout and --most-mib: expected a number of at least 1");
    }
    size_t command = 0, known = sizeof COMMANDS / sizeof COMMANDS[0];
    while (optind < argc && command < known && strcmp(argv[optind], COMMANDS[command]) != 0) {
        command++;
    }
    if (optind >= argc || command == known) {
        return wrong("expected one of install, boot, confirm, rollback, status");
    }
    if (argc - optind != (command == 0 ? 2 : 1)) {
        return wrong(command == 0 ? "install: expected one tar or folder" : "more arguments than the command takes");
    }
    if (u.store == NULL || (u.key_pem == NULL) != is_unsigned) {
        return wrong("expected --store, and either --key or --unsigned");
    }
    (void)umask(022); /* whoever runs the camera may read */
    return run(&u, command, argv[optind + 1]);
}
