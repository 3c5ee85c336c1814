/* A button: a key of an input device, such as the kernel makes of a GPIO line (gpio-keys), or lines of text. SPDX-License-Identifier: Apache-2.0 */
#ifndef BUTTON_H
#define BUTTON_H

#include <stdbool.h>

typedef struct button {
    int fd;        /* -1: it gives nothing more */
    bool is_input; /* it sends events; otherwise each line is a press */
} button;

bool button_open(button *from, const char *path); /* "-": lines of standard input */
bool button_pressed(button *from);                /* since it was asked last; never waits */
void button_close(button *from);

#endif
