/* Changes a bundle's files, one bit or one cut at a time, and counts what weckd_check says.
 *
 *   flips BUNDLE COUNT SEED KEY|- FILE...   prints "refused N accepted N"; 0 accepted is what is right.
 * SPDX-License-Identifier: Apache-2.0 */
#include "weckd_edge.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

static uint64_t random64(void) { /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717u;
}

static unsigned char *slurp(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(2);
    }
    long size = ftell(file);
    rewind(file);
    unsigned char *data = calloc((size_t)size + 1, 1);
    if (data == NULL || fread(data, 1, (size_t)size, file) != (size_t)size) {
        perror(path);
        exit(2);
    }
    (void)fclose(file);
    *bytes = (size_t)size;
    return data;
}

static void spill(const char *path, const unsigned char *data, size_t bytes) {
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0) {
        perror(path);
        exit(2);
    }
}

int main(int argc, char **argv) {
    if (argc < 6) {
        return 2;
    }
    unsigned long refused = 0, accepted = 0, count = strtoul(argv[2], NULL, 10);
    state = strtoull(argv[3], NULL, 10) + 1;
    weckd_options options = {0};
    size_t key_bytes = 0;
    unsigned char *key = strcmp(argv[4], "-") == 0 ? NULL : slurp(argv[4], &key_bytes);
    options.public_key_pem = (const char *)key;
    if (weckd_check(argv[1], &options, NULL) != WECKD_OK) {
        printf("the bundle itself is refused\n");
        return 2;
    }
    for (int i = 5; i < argc; i++) {
        char path[4096];
        size_t bytes = 0;
        (void)snprintf(path, sizeof path, "%s/%s", argv[1], argv[i]);
        unsigned char *data = slurp(path, &bytes);
        for (unsigned long k = 0; bytes > 0 && k < count; k++) {
            size_t at = (size_t)(random64() % bytes);
            bool cut = k % 4 == 3;
            unsigned char bit = (unsigned char)(1u << (random64() % 8));
            if (cut) {
                spill(path, data, at);
            } else {
                data[at] ^= bit;
                spill(path, data, bytes);
                data[at] ^= bit;
            }
            if (weckd_check(argv[1], &options, NULL) == WECKD_OK) {
                printf("accepted: %s, %s %zu\n", argv[i], cut ? "cut at" : "changed at", at);
                accepted++;
            } else {
                refused++;
            }
        }
        spill(path, data, bytes);
        free(data);
    }
    free(key);
    printf("refused %lu accepted %lu\n", refused, accepted);
    return accepted == 0 ? 0 : 1;
}
