/* SPDX-License-Identifier: Apache-2.0 */
#include "camera_file.h"

#include <stdlib.h>
#include <time.h>

#define FRAME_NS 33333333

bool camera_file_open(camera_file *from, const char *path, uint32_t width, uint32_t height) {
    from->frame_bytes = (size_t)width * height * 3 / 2;
    from->frame = malloc(from->frame_bytes);
    from->file = from->frame == NULL ? NULL : fopen(path, "rb");
    if (from->file == NULL) {
        camera_file_close(from);
    }
    return from->file != NULL;
}

bool camera_file_next(camera_file *from, void (*use)(const uint8_t *frame, void *context), void *context) {
    const struct timespec pause = {.tv_nsec = FRAME_NS};
    if (fread(from->frame, 1, from->frame_bytes, from->file) != from->frame_bytes) {
        return false;
    }
    (void)nanosleep(&pause, NULL);
    use(from->frame, context);
    return true;
}

void camera_file_close(camera_file *from) {
    if (from->file != NULL) {
        (void)fclose(from->file);
    }
    free(from->frame);
    from->file = NULL;
    from->frame = NULL;
}
