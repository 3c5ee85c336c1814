/* Data that every part of weckd-update shares: the store, the requirements on a bundle, the last error.
 *
 *   STORE/bundles/ID/   whole bundles; ID is the `id` of weckd_contract
 *   STORE/state         which of them is to run, which is known to be good, which was good before: one small file
 *   STORE/lock          locked by whoever changes the store
 *   STORE/staging/      a bundle that is being installed
 *   RUN/current         a link to the one that runs, for the camera's program; made by `boot` alone, in memory, not on the disk
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_H
#define WECKD_UPDATE_H

#include "core/bounds.h"

#include <weckd_edge.h>

#include <stdbool.h>
#include <stdint.h>

#define UPDATE_PATH_BYTES 1024
#define UPDATE_MAX_DEPTH 16    /* folders below each other, as in the library */
#define UPDATE_MAX_FILES (WECKD_MAX_FILES + 2) /* those that a manifest lists, the manifest and the signature */

typedef struct updater {
    const char *store;       /* path of the store, as it was given */
    const char *source;      /* the tar or folder that `install` installs; NULL for every other command */
    const char *run;         /* folder of the link to what runs; empty after every start of the machine */
    const char *factory;     /* a bundle outside the store, for when none of the store's runs; NULL: none */
    char root[UPDATE_PATH_BYTES]; /* path of the store from the root folder on */
    int store_fd;            /* -1: it cannot be opened */
    int lock_fd;             /* -1: it is not locked, and nothing in it is changed */
    const char *key_pem;     /* PEM text of the owner's key; NULL: unsigned bundles are accepted */
    const char *backend;     /* as in weckd_options */
    const char *library;
    const char *cache_dir;   /* as in weckd_options, of the self-tests; made where it is missing; NULL: none */
    const char *prepare;     /* a program that is run with the staged bundle's folder before the self-test; NULL: none */
    uint32_t max_attempts;   /* starts that an unconfirmed bundle gets before it is rejected */
    uint32_t lock_timeout_s; /* to wait for another weckd-update */
    uint32_t timeout_s;      /* for one self-test, or one verification without it */
    uint32_t prepare_timeout_s; /* for `prepare` */
    uint32_t max_mib;        /* largest unpacked bundle, MiB */
    bool retry_rejected;     /* install a bundle that was rejected before */
    char error[512];         /* message of the last failure, in printable ASCII */
} updater;

#endif
