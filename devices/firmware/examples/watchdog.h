/* systemd's watchdog, without libsystemd: a datagram to NOTIFY_SOCKET. SPDX-License-Identifier: Apache-2.0 */
#ifndef WATCHDOG_H
#define WATCHDOG_H

/* Tell systemd something, such as "READY=1" or "WATCHDOG=1"; without systemd nothing happens. */
void watchdog_tell(const char *socket_name, const char *what);

#endif
