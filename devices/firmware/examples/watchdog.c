/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void watchdog_tell(const char *socket_name, const char *what) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t length = socket_name == NULL ? 0 : strlen(socket_name);
    if (length == 0 || length >= sizeof to.sun_path) {
        return;
    }
    memcpy(to.sun_path, socket_name, length + 1);
    if (to.sun_path[0] == '@') { /* a name in no file system */
        to.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void)sendto(fd, what, strlen(what), MSG_NOSIGNAL, (const struct sockaddr *)(const void *)&to,
                     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
        (void)close(fd);
    }
}
