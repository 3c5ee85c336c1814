/* A file of NV12 frames in place of a camera, played at 30 frames a second: for trying out. SPDX-License-Identifier: Apache-2.0 */
#ifndef CAMERA_FILE_H
#define CAMERA_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct camera_file {
    FILE *file; /* NULL: it is not open */
    uint8_t *frame;
    size_t frame_bytes;
} camera_file;

bool camera_file_open(camera_file *from, const char *path, uint32_t width, uint32_t height);

/* Wait for the next frame's time and hand it to `use`; false: there is none. */
bool camera_file_next(camera_file *from, void (*use)(const uint8_t *frame, void *context), void *context);

void camera_file_close(camera_file *from);

#endif
