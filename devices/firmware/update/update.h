/* What every part of weckd-update shares: where the store is, what is demanded of a bundle, why something failed.
 *
 *   STORE/bundles/ID/   whole bundles; ID is the `manifest_sha256` of the bundle, 64 digits
 *   STORE/state         which of them runs, which is known to be good, which was good before: the truth, one small file
 *   STORE/current       a link to the one that runs, for the camera's program; made again from the state at every boot
 *   STORE/staging/      a bundle that is being installed; worth nothing
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_H
#define WECKD_UPDATE_H

#include <weckd_edge.h>

#include <stdbool.h>
#include <stdint.h>

#define UPDATE_ID_DIGITS 64
#define UPDATE_PATH_BYTES 1024
#define UPDATE_MOST_DEPTH 16    /* folders below each other, as in the library */
#define UPDATE_MOST_FILES 4096

typedef struct updater {
    const char *store;       /* path of the store */
    int store_fd;
    int lock_fd;
    const char *key_pem;     /* PEM text of the owner's key; NULL: unsigned bundles are taken */
    const char *backend;     /* as in weckd_options */
    const char *library;
    const char *prepare;     /* a program that is run with the staged bundle's folder before the self-test; NULL: none */
    uint32_t most_tries;     /* starts that a bundle on trial gets before it is given up */
    uint32_t timeout_s;      /* for one self-test */
    uint64_t most_bytes;     /* of an unpacked bundle */
    bool again;              /* take a bundle that was given up before */
    char why[512];           /* reason of the last failure */
} updater;

/* Keep the reason, return `status`. */
__attribute__((format(printf, 3, 4))) int update_fail(updater *u, int status, const char *format, ...);

/* The commands. 0 or a negative weckd_status. */
int update_install(updater *u, const char *source);
int update_boot(updater *u);
int update_confirm(updater *u);
int update_rollback(updater *u);
int update_status(updater *u);

/* Make the state again from the bundles that lie in the store, where it is missing or damaged. */
int update_recover(updater *u);

#endif
