/* The commands, one a file. 0 or a negative weckd_status. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_COMMANDS_H
#define WECKD_UPDATE_COMMANDS_H

#include "base/update.h"

int update_install(updater *u);
int update_boot(updater *u);
int update_confirm(updater *u);
int update_rollback(updater *u);
int update_status(updater *u);

#endif
