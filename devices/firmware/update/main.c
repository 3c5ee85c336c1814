/* weckd-update: installs bundles on the device so that a power cut at any moment leaves one that runs. See docs/how-to/updates.md.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/child.h"
#include "base/log.h"
#include "commands/commands.h"
#include "files/file_io.h"
#include "store/store.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SECONDS 86400
#define MAX_ATTEMPTS 86400
#define MAX_MIB (1ul << 20)

static const char USAGE[] =
    "usage: weckd-update install TAR|FOLDER | boot | confirm | rollback | status   --store DIR (--key PEM | --unsigned)\n"
    "  --store DIR       folder of the bundles; of weckd-update alone\n"
    "  --run DIR         where `boot` makes the link `current` to the bundle that runs; a folder in memory (/run/weckd)\n"
    "  --factory FOLDER  a bundle outside the store, which `boot` starts where none of the store runs\n"
    "  --key PEM         public key; only bundles that its owner signed are accepted\n"
    "  --unsigned        accept bundles without a signature: for trying out\n"
    "  --prepare FILE    program run with a staged bundle's folder before its self-test, such as one that builds an engine\n"
    "  --prepare-timeout S  seconds that it may take (1800)\n"
    "  --backend NAME    what runs the self-test; --library FILE: its runtime library\n"
    "  --cache-dir DIR   where a self-test keeps the model that it compiled, for the next start and for the camera's program\n"
    "  --max-attempts N  starts of a bundle before it must be confirmed (3)\n"
    "  --timeout S       seconds that one self-test may take (120)\n"
    "  --lock-timeout S  seconds that boot, confirm and rollback wait for another weckd-update (30)\n"
    "  --max-mib N       largest unpacked bundle that is accepted, MiB (1024)\n"
    "  --retry-rejected  install a bundle that was rejected on this device before\n"
    "exit codes: 0 done (boot: a bundle runs, perhaps an earlier one), 1 failed, 2 wrong request\n";

static int usage_error(const char *message) {
    (void)fprintf(stderr, "error: %s\n%s", message, USAGE);
    return 2;
}

static bool read_number(const char *text, unsigned long max, uint32_t *value) {
    char *end = NULL;
    unsigned long number = strtoul(text, &end, 10);
    *value = (uint32_t)number;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && number >= 1 && number <= max;
}

/* Read the owner's key. false: it is no plain file of less than 4 KiB. */
static bool read_key(const char *path, char key[4096]) {
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe is not waited for */
    struct stat about;
    bool is_plain = fd >= 0 && fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
    ssize_t bytes = is_plain ? weckd_read_all(fd, key, 4096) : -1;
    if (fd >= 0) {
        (void)close(fd);
    }
    key[bytes > 0 && bytes < 4096 ? bytes : 0] = '\0';
    return bytes > 0 && bytes < 4096 && strlen(key) == (size_t)bytes;
}

static int run_install(updater *u) {
    int status = store_open(u, true);
    if (status != WECKD_OK) {
        return status;
    }
    status = store_lock(u, 0);
    if (status != WECKD_OK) {
        return status;
    }
    return update_install(u);
}

/* Run a command that changes the store: it must be there, and be locked. */
static int run_locked(updater *u, int (*command)(updater *u)) {
    int status = store_open(u, false);
    if (status != WECKD_OK) {
        return status;
    }
    status = store_lock(u, u->lock_timeout_s);
    if (status != WECKD_OK) {
        return status;
    }
    return command(u);
}

/* `boot` is of use also where nothing can be changed. */
static int run_boot(updater *u) {
    if (store_open(u, false) == WECKD_OK && store_lock(u, u->lock_timeout_s) != WECKD_OK) {
        log_warn("%s", u->error);
    }
    return update_boot(u);
}

/* `status` changes nothing, and verifies for long: a lock would keep `boot` waiting. The state is replaced as a whole. */
static int run_status(updater *u) {
    int status = store_open(u, false);
    return status == WECKD_OK ? update_status(u) : status;
}

static int run_confirm(updater *u) { return run_locked(u, update_confirm); }
static int run_rollback(updater *u) { return run_locked(u, update_rollback); }

static const struct command {
    const char *name;
    int arguments;
    int (*run)(updater *u);
} COMMANDS[] = {
    {"install", 1, run_install},
    {"boot", 0, run_boot},
    {"confirm", 0, run_confirm},
    {"rollback", 0, run_rollback},
    {"status", 0, run_status},
};

static const struct command *find_command(const char *name) {
    for (size_t i = 0; i < sizeof COMMANDS / sizeof COMMANDS[0]; i++) {
        if (strcmp(name, COMMANDS[i].name) == 0) {
            return &COMMANDS[i];
        }
    }
    return NULL;
}

/* Open /dev/null for each standard file that is closed: a file opened later would get its number, and be printed into. */
static void hold_standard_files(void) {
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO) {
        fd = open("/dev/null", O_RDWR);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

enum option_code {
    OPTION_STORE = 256, /* beyond every letter */
    OPTION_RUN,
    OPTION_FACTORY,
    OPTION_KEY,
    OPTION_UNSIGNED,
    OPTION_PREPARE,
    OPTION_PREPARE_TIMEOUT,
    OPTION_BACKEND,
    OPTION_LIBRARY,
    OPTION_CACHE_DIR,
    OPTION_MAX_ATTEMPTS,
    OPTION_TIMEOUT,
    OPTION_LOCK_TIMEOUT,
    OPTION_MAX_MIB,
    OPTION_RETRY_REJECTED,
    OPTION_HELP,
};

static const struct option OPTIONS[] = {
    {"store", required_argument, NULL, OPTION_STORE},
    {"run", required_argument, NULL, OPTION_RUN},
    {"factory", required_argument, NULL, OPTION_FACTORY},
    {"key", required_argument, NULL, OPTION_KEY},
    {"unsigned", no_argument, NULL, OPTION_UNSIGNED},
    {"prepare", required_argument, NULL, OPTION_PREPARE},
    {"prepare-timeout", required_argument, NULL, OPTION_PREPARE_TIMEOUT},
    {"backend", required_argument, NULL, OPTION_BACKEND},
    {"library", required_argument, NULL, OPTION_LIBRARY},
    {"cache-dir", required_argument, NULL, OPTION_CACHE_DIR},
    {"max-attempts", required_argument, NULL, OPTION_MAX_ATTEMPTS},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"lock-timeout", required_argument, NULL, OPTION_LOCK_TIMEOUT},
    {"max-mib", required_argument, NULL, OPTION_MAX_MIB},
    {"retry-rejected", no_argument, NULL, OPTION_RETRY_REJECTED},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

#define GO_ON (-1)

/* Read the options into `u`, and the owner's key. GO_ON, or the exit code where the program ends here. */
static int read_options(updater *u, int argc, char **argv) {
    static char key[4096];
    bool is_unsigned = false;
    for (int option = 0; (option = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1;) {
        bool is_valid = true;
        switch (option) {
        case OPTION_STORE:
            u->store = optarg;
            break;
        case OPTION_RUN:
            u->run = optarg;
            break;
        case OPTION_FACTORY:
            u->factory = optarg;
            break;
        case OPTION_KEY:
            if (!read_key(optarg, key)) {
                return usage_error("--key: expected a PEM file of less than 4 KiB");
            }
            u->key_pem = key;
            break;
        case OPTION_UNSIGNED:
            is_unsigned = true;
            break;
        case OPTION_PREPARE:
            u->prepare = optarg;
            break;
        case OPTION_PREPARE_TIMEOUT:
            is_valid = read_number(optarg, MAX_SECONDS, &u->prepare_timeout_s);
            break;
        case OPTION_BACKEND:
            u->backend = optarg;
            break;
        case OPTION_LIBRARY:
            u->library = optarg;
            break;
        case OPTION_CACHE_DIR:
            u->cache_dir = optarg;
            break;
        case OPTION_MAX_ATTEMPTS:
            is_valid = read_number(optarg, MAX_ATTEMPTS, &u->max_attempts);
            break;
        case OPTION_TIMEOUT:
            is_valid = read_number(optarg, MAX_SECONDS, &u->timeout_s);
            break;
        case OPTION_LOCK_TIMEOUT:
            is_valid = read_number(optarg, MAX_SECONDS, &u->lock_timeout_s);
            break;
        case OPTION_MAX_MIB:
            is_valid = read_number(optarg, MAX_MIB, &u->max_mib);
            break;
        case OPTION_RETRY_REJECTED:
            u->retry_rejected = true;
            break;
        case OPTION_HELP:
        case 'h':
            printf("%s", USAGE);
            return 0;
        default:
            return usage_error("unknown option");
        }
        if (!is_valid) {
            return usage_error("--max-attempts, --timeout, --lock-timeout, --prepare-timeout and --max-mib: expected a number of "
                               "at least 1");
        }
    }
    if (u->store == NULL || (u->key_pem == NULL) != is_unsigned) {
        return usage_error("expected --store, and either --key or --unsigned");
    }
    return GO_ON;
}

int main(int argc, char **argv) {
    static updater u = {.store_fd = -1, .lock_fd = -1, .run = "/run/weckd", .max_attempts = 3, .lock_timeout_s = 30,
                        .timeout_s = 120, .prepare_timeout_s = 1800, .max_mib = 1024};
    hold_standard_files();
    child_handle_signals();
    int code = read_options(&u, argc, argv);
    if (code != GO_ON) {
        return code;
    }
    const struct command *command = optind < argc ? find_command(argv[optind]) : NULL;
    if (command == NULL) {
        return usage_error("expected one of install, boot, confirm, rollback, status");
    }
    if (argc - optind != 1 + command->arguments) {
        return usage_error(command->arguments == 1 ? "install: expected one tar or folder" : "more arguments than the command takes");
    }
    u.source = argv[optind + 1];
    (void)umask(022); /* whoever runs the camera may read */
    int status = command->run(&u);
    store_close(&u);
    if (status != WECKD_OK) {
        (void)fprintf(stderr, "error: %s\n", u.error);
        return 1;
    }
    return 0;
}
