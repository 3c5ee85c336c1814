/* Damages a bundle's files, one bit or one cut at a time, and counts what weckd_check says.
 *
 *   flips BUNDLE FLIPS SEED KEY|- FILE...
 *
 * FLIPS single bits are changed, spread over the files in turn, no bit twice. Then the first FILE is cut at every byte (with
 * a key at every eighth, as the signature refuses it before it is read), each other one at its first and last 16 bytes and at
 * 32 drawn places. Prints "flips refused N accepted N, cuts refused N accepted
 * N"; 0 accepted is what is right. SPDX-License-Identifier: Apache-2.0 */
#include "weckd_edge.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_FILES 128
#define ENDS 16
#define DRAWN 32

typedef struct damaged_file {
    const char *name;
    char path[4096];
    unsigned char *data, *seen; /* one bit of `seen` for each of `data` */
    size_t bytes;
} damaged_file;

typedef struct counts {
    unsigned long refused, accepted;
} counts;

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

/* Write the first `bytes` bytes where they are, and cut what follows; a new file for each change would be slow on a disk. */
static void spill(const damaged_file *file, size_t bytes) {
    int fd = open(file->path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || pwrite(fd, file->data, bytes, 0) != (ssize_t)bytes || ftruncate(fd, (off_t)bytes) != 0 || close(fd) != 0) {
        perror(file->path);
        exit(2);
    }
}

static void judge(const char *folder, const weckd_options *options, const damaged_file *file, const char *what, size_t at,
                  counts *count) {
    if (weckd_check(folder, options, NULL) == WECKD_OK) {
        printf("accepted: %s, %s %zu\n", file->name, what, at);
        count->accepted++;
    } else {
        count->refused++;
    }
}

static void flip(const char *folder, const weckd_options *options, damaged_file *file, counts *count) {
    size_t at = (size_t)(random64() % file->bytes);
    unsigned char bit = (unsigned char)(1u << (random64() % 8));
    while ((file->seen[at] & bit) != 0) {
        at = (at + 1) % file->bytes;
    }
    file->seen[at] |= bit;
    file->data[at] ^= bit;
    spill(file, file->bytes);
    judge(folder, options, file, "a bit changed at", at, count);
    file->data[at] ^= bit;
    spill(file, file->bytes);
}

static void cut(const char *folder, const weckd_options *options, const damaged_file *file, size_t every, counts *count) {
    for (size_t at = 0; at < file->bytes; at++) {
        bool drawn = random64() % file->bytes < DRAWN;
        if ((every > 0 && at % every == 0) || at < ENDS || file->bytes - at <= ENDS || drawn) {
            spill(file, at);
            judge(folder, options, file, "cut at", at, count);
        }
    }
    spill(file, file->bytes);
}

int main(int argc, char **argv) {
    static damaged_file files[MOST_FILES];
    size_t file_count = argc < 6 ? 0 : (size_t)argc - 5;
    if (file_count == 0 || file_count > MOST_FILES) {
        return 2;
    }
    unsigned long wanted = strtoul(argv[2], NULL, 10);
    state = strtoull(argv[3], NULL, 10) + 1;
    weckd_options options = {0};
    size_t key_bytes = 0;
    unsigned char *key = strcmp(argv[4], "-") == 0 ? NULL : slurp(argv[4], &key_bytes);
    options.public_key_pem = (const char *)key;
    if (weckd_check(argv[1], &options, NULL) != WECKD_OK) {
        printf("the bundle itself is refused\n");
        return 2;
    }
    for (size_t i = 0; i < file_count; i++) {
        files[i].name = argv[5 + i];
        (void)snprintf(files[i].path, sizeof files[i].path, "%s/%s", argv[1], files[i].name);
        files[i].data = slurp(files[i].path, &files[i].bytes);
        files[i].seen = calloc(files[i].bytes + 1, 1);
        if (files[i].seen == NULL || files[i].bytes * 8 < wanted / file_count + 1) {
            printf("%s: fewer bits than are to be changed\n", files[i].name);
            return 2;
        }
    }
    counts flips = {0}, cuts = {0};
    for (unsigned long k = 0; k < wanted; k++) {
        flip(argv[1], &options, &files[k % file_count], &flips);
    }
    for (size_t i = 0; i < file_count; i++) {
        cut(argv[1], &options, &files[i], i > 0 ? 0 : key == NULL ? 1 : 8, &cuts);
    }
    if (weckd_check(argv[1], &options, NULL) != WECKD_OK) {
        printf("the files were put back, and are refused\n");
        return 2;
    }
    for (size_t i = 0; i < file_count; i++) {
        free(files[i].data);
        free(files[i].seen);
    }
    free(key);
    printf("flips refused %lu accepted %lu, cuts refused %lu accepted %lu\n", flips.refused, flips.accepted, cuts.refused,
           cuts.accepted);
    return flips.accepted + cuts.accepted == 0 ? 0 : 1;
}
