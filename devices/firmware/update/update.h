/* What every part of weckd-update shares: where the store is, what is demanded of a bundle, why something failed.
 *
 *   STORE/bundles/ID/   whole bundles; ID is the `id` of weckd_contract
 *   STORE/state         which of them is to run, which is known to be good, which was good before: the truth, one small file
 *   STORE/lock          locked by whoever changes the store
 *   STORE/staging/      a bundle that is being installed; worth nothing
 *   RUN/current         a link to the one that runs, for the camera's program; made by `boot` alone, in memory, not on the disk
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_UPDATE_H
#define WECKD_UPDATE_H

#include <weckd_edge.h>

#include <stdbool.h>
#include <stdint.h>

#define UPDATE_PATH_BYTES 1024
#define UPDATE_MOST_DEPTH 16    /* folders below each other, as in the library */
#define UPDATE_MOST_FILES 4096

typedef struct updater {
    const char *store;       /* path of the store, as it was given */
    const char *run;         /* folder of the link to what runs; empty after every start of the machine */
    const char *factory;     /* a bundle outside the store, for when none of the store's runs; NULL: none */
    char root[UPDATE_PATH_BYTES]; /* path of the store from the root folder on */
    int store_fd;            /* -1: it cannot be opened */
    int lock_fd;             /* -1: it is not locked, and nothing in it is changed */
    const char *key_pem;     /* PEM text of the owner's key; NULL: unsigned bundles are taken */
    const char *backend;     /* as in weckd_options */
    const char *library;
    const char *prepare;     /* a program that is run with the staged bundle's folder before the self-test; NULL: none */
    uint32_t most_tries;     /* starts that a bundle on trial gets before it is given up */
    uint32_t wait_s;         /* for another weckd-update to end */
    uint32_t timeout_s;      /* for one self-test, or one proof without it */
    uint32_t prepare_s;      /* for `prepare` */
    uint32_t most_mib;       /* of an unpacked bundle */
    bool again;              /* take a bundle that was given up before */
    char why[512];           /* reason of the last failure, in printable ASCII */
} updater;

#endif
