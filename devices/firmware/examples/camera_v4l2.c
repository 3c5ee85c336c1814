/* Read frames from a V4L2 camera. Tests compile this and do not run it: no camera was at hand. SPDX-License-Identifier: Apache-2.0 */
#include "camera_v4l2.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static bool ask(int fd, unsigned long request, void *about) {
    int done;
    do {
        done = ioctl(fd, request, about);
    } while (done != 0 && errno == EINTR);
    return done == 0;
}

static bool map(camera *cam, uint32_t index) {
    struct v4l2_buffer buffer = {.index = index, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
    if (!ask(cam->fd, VIDIOC_QUERYBUF, &buffer)) {
        return false;
    }
    void *data = mmap(NULL, buffer.length, PROT_READ | PROT_WRITE, MAP_SHARED, cam->fd, (off_t)buffer.m.offset);
    if (data == MAP_FAILED) {
        return false;
    }
    cam->buffers[index].data = data;
    cam->buffers[index].bytes = buffer.length;
    cam->count = index + 1;
    return buffer.length >= cam->frame_bytes && ask(cam->fd, VIDIOC_QBUF, &buffer);
}

weckd_matrix camera_matrix_of(const struct v4l2_pix_format *format) {
    uint32_t encoding = format->ycbcr_enc, quantization = format->quantization;
    if (encoding == V4L2_YCBCR_ENC_DEFAULT) {
        encoding = V4L2_MAP_YCBCR_ENC_DEFAULT(format->colorspace);
    }
    if (quantization == V4L2_QUANTIZATION_DEFAULT) {
        quantization = V4L2_MAP_QUANTIZATION_DEFAULT(false, format->colorspace, encoding);
    }
    /* Of the matrices of BT.2020 and SMPTE 240M, which the library does not have, BT.709's is the nearest. */
    bool is_601 = encoding == V4L2_YCBCR_ENC_601 || encoding == V4L2_YCBCR_ENC_XV601 || encoding == V4L2_YCBCR_ENC_SYCC;
    if (quantization == V4L2_QUANTIZATION_FULL_RANGE) {
        return is_601 ? WECKD_BT601_FULL : WECKD_BT709_FULL;
    }
    return is_601 ? WECKD_BT601_LIMITED : WECKD_BT709_LIMITED;
}

static bool start(camera *cam, uint32_t width, uint32_t height) {
    struct v4l2_format format = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
    format.fmt.pix.width = width;
    format.fmt.pix.height = height;
    format.fmt.pix.pixelformat = V4L2_PIX_FMT_NV12;
    format.fmt.pix.field = V4L2_FIELD_NONE;
    if (!ask(cam->fd, VIDIOC_S_FMT, &format) || format.fmt.pix.pixelformat != V4L2_PIX_FMT_NV12) {
        return false;
    }
    cam->width = format.fmt.pix.width;
    cam->height = format.fmt.pix.height;
    cam->stride_bytes = format.fmt.pix.bytesperline;
    cam->matrix = camera_matrix_of(&format.fmt.pix);
    cam->frame_bytes = (size_t)cam->stride_bytes * cam->height * 3 / 2;
    struct v4l2_requestbuffers wanted = {
        .count = CAMERA_BUFFERS, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
    if (!ask(cam->fd, VIDIOC_REQBUFS, &wanted) || wanted.count == 0) {
        return false;
    }
    for (uint32_t i = 0; i < wanted.count && i < CAMERA_BUFFERS; i++) {
        if (!map(cam, i)) {
            return false;
        }
    }
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    return ask(cam->fd, VIDIOC_STREAMON, &type);
}

bool camera_open(camera *cam, const char *device, uint32_t width, uint32_t height) {
    memset(cam, 0, sizeof *cam);
    cam->fd = open(device, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (cam->fd < 0) {
        return false;
    }
    if (!start(cam, width, height)) {
        camera_close(cam);
        return false;
    }
    return true;
}

bool camera_next(camera *cam, int timeout_ms, void (*use)(const uint8_t *frame, void *context), void *context) {
    struct pollfd waiting = {.fd = cam->fd, .events = POLLIN};
    struct v4l2_buffer buffer = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
    if (poll(&waiting, 1, timeout_ms) <= 0 || !ask(cam->fd, VIDIOC_DQBUF, &buffer)) {
        return false;
    }
    /* A frame that was cut short, or one the driver marked as damaged, is not shown to the network. */
    if (buffer.index < cam->count && (buffer.flags & V4L2_BUF_FLAG_ERROR) == 0 && buffer.bytesused >= cam->frame_bytes) {
        use(cam->buffers[buffer.index].data, context);
    }
    return ask(cam->fd, VIDIOC_QBUF, &buffer);
}

void camera_close(camera *cam) {
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    if (cam->fd >= 0) {
        (void)ask(cam->fd, VIDIOC_STREAMOFF, &type);
    }
    for (uint32_t i = 0; i < cam->count; i++) {
        (void)munmap(cam->buffers[i].data, cam->buffers[i].bytes);
    }
    if (cam->fd >= 0) {
        (void)close(cam->fd);
    }
    cam->fd = -1;
}
