/* SPDX-License-Identifier: Apache-2.0 */
#include "button.h"

#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool button_open(button *from, const char *path) {
    int version = 0;
    from->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    from->is_input = from->fd >= 0 && ioctl(from->fd, EVIOCGVERSION, &version) == 0;
    return from->fd >= 0;
}

/* Read what waits; false: there is nothing more. */
static bool read_some(button *from, bool *pressed) {
    union {
        struct input_event event;
        char text[64];
    } read_from;
    ssize_t bytes = read(from->fd, &read_from, from->is_input ? sizeof read_from.event : sizeof read_from.text);
    if (bytes <= 0) {
        return false;
    }
    if (from->is_input) {
        *pressed |= read_from.event.type == EV_KEY && read_from.event.value == 1; /* 0: let go, 2: held */
    } else {
        *pressed |= memchr(read_from.text, '\n', (size_t)bytes) != NULL;
    }
    return true;
}

bool button_pressed(button *from) {
    bool pressed = false;
    struct pollfd waiting = {.fd = from->fd, .events = POLLIN};
    while (from->fd >= 0 && poll(&waiting, 1, 0) > 0 && (waiting.revents & POLLIN) != 0) {
        if (!read_some(from, &pressed)) {
            button_close(from);
        }
    }
    return pressed;
}

void button_close(button *from) {
    if (from->fd > STDIN_FILENO) {
        (void)close(from->fd);
    }
    from->fd = -1;
}
