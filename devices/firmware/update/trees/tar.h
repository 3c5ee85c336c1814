/* A strict reader of the tar that `weckd-edge package tar` writes. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_TAR_H
#define WECKD_UPDATE_TAR_H

#include "trees/tree.h"

/* Unpack into a folder. Plain files of POSIX ustar alone: no links, devices, folders, extensions or compression; paths are
 * relative, written the one usual way, and never lead out; no file may be there already; behind the end are zeros only. */
int tar_unpack(updater *u, int tar_fd, int to_fd, tree_budget *budget);

#endif
