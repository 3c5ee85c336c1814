/* Prints this library's verdict on one bundle after another, so that a test can ask for many.
 *
 *   verdicts KEY|- LIBRARY|-
 *
 * Reads lines "check FOLDER", "signed FOLDER" (with the key), "selftest FOLDER" (the stand-in for a model) and "load BACKEND
 * FOLDER" (with the library); prints one line for each, "STATUS MESSAGE". SPDX-License-Identifier: Apache-2.0 */
#include "weckd_edge.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *slurp(const char *path) {
    FILE *file = fopen(path, "rb");
    static char text[65536];
    size_t bytes = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);
    if (bytes == 0) {
        perror(path);
        exit(2);
    }
    (void)fclose(file);
    text[bytes] = '\0';
    return text;
}

static int open_and_test(const char *folder, weckd_options *options, bool selftest) {
    weckd_bundle *bundle = NULL;
    int status = weckd_open(folder, options, &bundle);
    if (status == WECKD_OK && selftest) {
        status = weckd_selftest(bundle, NULL);
        (void)snprintf(options->message, WECKD_MESSAGE_BYTES, "%s", weckd_message(bundle));
    }
    weckd_close(bundle);
    return status;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    const char *key = strcmp(argv[1], "-") == 0 ? NULL : slurp(argv[1]);
    const char *library = strcmp(argv[2], "-") == 0 ? NULL : argv[2];
    char line[4096], message[WECKD_MESSAGE_BYTES];
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *rest = strchr(line, ' ');
        if (rest == NULL) {
            return 2;
        }
        *rest++ = '\0';
        message[0] = '\0';
        weckd_options options = {.message = message};
        int status = WECKD_OK;
        if (strcmp(line, "check") == 0 || strcmp(line, "signed") == 0) {
            options.public_key_pem = strcmp(line, "signed") == 0 ? key : NULL;
            status = weckd_check(rest, &options, NULL);
        } else if (strcmp(line, "selftest") == 0) {
            options.backend = "echo";
            status = open_and_test(rest, &options, true);
        } else {
            char *folder = strchr(rest, ' ');
            if (folder == NULL) {
                return 2;
            }
            *folder++ = '\0';
            options.backend = rest;
            options.library = library;
            status = open_and_test(folder, &options, false);
        }
        printf("%d %s\n", status, status == WECKD_OK ? "" : message);
        (void)fflush(stdout);
    }
    return 0;
}
