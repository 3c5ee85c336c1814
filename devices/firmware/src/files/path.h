/* Paths of a bundle's files; weckd-update compiles this too. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_PATH_H
#define WECKD_PATH_H

#include <stdbool.h>

#define WECKD_DEVICE_FOLDER "device"

/* Tell whether a path is relative, stays below its folder, has one spelling, and is printable ASCII. */
bool weckd_path_is_plain(const char *path);

/* Tell whether a path lies in the folder of what was built on the device, which is not sealed. */
bool weckd_path_is_device(const char *path);

bool weckd_path_ends_with(const char *path, const char *suffix);

#endif
