/* A V4L2 camera that sends NV12, through mapped buffers. SPDX-License-Identifier: Apache-2.0 */
#ifndef CAMERA_V4L2_H
#define CAMERA_V4L2_H

#include <weckd_edge.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAMERA_BUFFERS 4

struct v4l2_pix_format;

typedef struct camera {
    int fd;
    uint32_t width, height, stride_bytes;
    weckd_matrix matrix; /* that makes RGB of its pixels */
    size_t frame_bytes;
    struct {
        uint8_t *data;
        size_t bytes;
    } buffers[CAMERA_BUFFERS];
    uint32_t count;
} camera;

/* Open and start; the camera may choose another size than the one asked for: see `width` and `height`. */
bool camera_open(camera *cam, const char *device, uint32_t width, uint32_t height);

/* Return the matrix of a format, by what the driver says of it or by the default of its colour space. */
weckd_matrix camera_matrix_of(const struct v4l2_pix_format *format);

/* Wait up to `timeout_ms` for a frame and hand it to `use`; false: none came, or the camera is gone. */
bool camera_next(camera *cam, int timeout_ms, void (*use)(const uint8_t *frame, void *context), void *context);

void camera_close(camera *cam);

#endif
