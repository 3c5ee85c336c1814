/* weckd-update: installs bundles on the device so that a power cut at any moment leaves one that runs. See docs/updates.md.
 * SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char USAGE[] =
    "usage: weckd-update install TAR|FOLDER | boot | confirm | rollback | status   --store DIR (--key PEM | --unsigned)\n"
    "  --store DIR       where bundles are kept; a folder of its own\n"
    "  --key PEM         public key; only bundles that its owner signed are taken\n"
    "  --unsigned        take any bundle that is whole: for trying out\n"
    "  --prepare FILE    program run with a staged bundle's folder before its self-test, such as one that builds an engine\n"
    "  --backend NAME    what runs the self-test; --library FILE: its runtime library\n"
    "  --tries N         starts of a bundle before it must be confirmed (3)\n"
    "  --timeout S       seconds that one self-test may take (120)\n"
    "  --most-mib N      size of an unpacked bundle that is still taken (1024)\n"
    "  --again           take a bundle that was given up on this device before\n"
    "exit codes: 0 done (boot: a bundle runs, perhaps an earlier one), 1 failed, 2 wrong request\n";

int update_fail(updater *u, int status, const char *format, ...) {
    va_list values;
    va_start(values, format);
    (void)vsnprintf(u->why, sizeof u->why, format, values);
    va_end(values);
    return status;
}

static int wrong(const char *what) {
    (void)fprintf(stderr, "error: %s\n%s", what, USAGE);
    return 2;
}

static bool read_number(const char *text, unsigned long most, unsigned long *value) {
    char *end = NULL;
    *value = strtoul(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *value >= 1 && *value <= most;
}

/* false: no file of at most 4 KiB. */
static bool read_key(const char *path, char key[4096]) {
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        return false;
    }
    size_t bytes = fread(key, 1, 4095, file);
    bool good = bytes > 0 && feof(file) != 0 && memchr(key, '\0', bytes) == NULL;
    key[bytes] = '\0';
    (void)fclose(file);
    return good;
}

static const char *const COMMANDS[] = {"install", "boot", "confirm", "rollback", "status"};

static int run(updater *u, size_t command, const char *source) {
    int status = store_open(u, command != 0);
    if (status == WECKD_OK) {
        switch (command) {
        case 0: status = update_install(u, source); break;
        case 1: status = update_boot(u); break;
        case 2: status = update_confirm(u); break;
        case 3: status = update_rollback(u); break;
        default: status = update_status(u); break;
        }
    }
    store_close(u);
    if (status != WECKD_OK) {
        (void)fprintf(stderr, "error: %s\n", u->why);
    }
    return status == WECKD_OK ? 0 : 1;
}

int main(int argc, char **argv) {
    static char key[4096];
    static updater u = {.store_fd = -1, .lock_fd = -1, .most_tries = 3, .timeout_s = 120, .most_bytes = 1024ull << 20};
    static const struct option options[] = {
        {"store", required_argument, NULL, 's'},   {"key", required_argument, NULL, 'k'},
        {"unsigned", no_argument, NULL, 'u'},      {"prepare", required_argument, NULL, 'p'},
        {"backend", required_argument, NULL, 'b'}, {"library", required_argument, NULL, 'l'},
        {"tries", required_argument, NULL, 't'},   {"timeout", required_argument, NULL, 'o'},
        {"most-mib", required_argument, NULL, 'm'}, {"again", no_argument, NULL, 'a'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    bool is_unsigned = false;
    unsigned long number = 0;
    for (int option = 0; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (option) {
        case 's': u.store = optarg; break;
        case 'k':
            if (!read_key(optarg, key)) {
                return wrong("--key: expected a PEM file of at most 4 KiB");
            }
            u.key_pem = key;
            break;
        case 'u': is_unsigned = true; break;
        case 'p': u.prepare = optarg; break;
        case 'b': u.backend = optarg; break;
        case 'l': u.library = optarg; break;
        case 'a': u.again = true; break;
        case 't':
        case 'o':
        case 'm':
            if (!read_number(optarg, option == 'm' ? 1ul << 20 : 86400, &number)) {
                return wrong("--tries, --timeout and --most-mib: expected a number of at least 1");
            }
            *(option == 't' ? &u.most_tries : option == 'o' ? &u.timeout_s : &(uint32_t){0}) = (uint32_t)number;
            u.most_bytes = option == 'm' ? (uint64_t)number << 20 : u.most_bytes;
            break;
        case 'h': printf("%s", USAGE); return 0;
        default: return wrong("unknown option");
        }
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
