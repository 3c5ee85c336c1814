/* SPDX-License-Identifier: Apache-2.0 */
#include "files/path.h"

#include "core/bounds.h"

#include <string.h>

bool weckd_path_is_plain(const char *path) {
    size_t part = 0, length = strlen(path);
    for (size_t i = 0; i <= length; i++) {
        char c = path[i];
        if (c == '/' || c == '\0') {
            if (part == 0 || (part == 1 && path[i - 1] == '.') || (part == 2 && path[i - 1] == '.' && path[i - 2] == '.')) {
                return false;
            }
            part = 0;
        } else if (c < 0x20 || c > 0x7e || c == '\\') {
            return false;
        } else {
            part++;
        }
    }
    return length < WECKD_MAX_PATH;
}

bool weckd_path_is_device(const char *path) {
    size_t length = strlen(WECKD_DEVICE_FOLDER);
    return strncmp(path, WECKD_DEVICE_FOLDER, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

bool weckd_path_ends_with(const char *path, const char *suffix) {
    size_t length = strlen(path), end = strlen(suffix);
    return length >= end && strcmp(path + length - end, suffix) == 0;
}
