/* Status codes, reasons and versions in words. SPDX-License-Identifier: Apache-2.0 */
#include "weckd_edge.h"

const char *weckd_status_text(int status) {
    switch (status) {
    case WECKD_OK: return "done";
    case WECKD_ERR_ARGUMENT: return "an argument is missing or unknown; zero what is not used";
    case WECKD_ERR_IO: return "a file could not be opened or read; check folder and permissions";
    case WECKD_ERR_FORMAT: return "this is no bundle, or it is damaged; copy it again";
    case WECKD_ERR_NEWER: return "the bundle is of a newer format; update the firmware";
    case WECKD_ERR_DIGEST: return "a file was changed since the bundle was sealed; copy it again";
    case WECKD_ERR_LISTING: return "files and list of the bundle do not agree; copy it again";
    case WECKD_ERR_LINK: return "a bundle holds plain files only, and there is a link or a special file";
    case WECKD_ERR_UNSIGNED: return "a key is configured, and the bundle is not signed";
    case WECKD_ERR_SIGNATURE: return "the signature is not this key's over this manifest";
    case WECKD_ERR_KEY: return "the public key cannot be used; expected PEM on P-256, P-384 or P-521";
    case WECKD_ERR_ROLLBACK: return "the bundle is older than the lowest version that is accepted here";
    case WECKD_ERR_MEMORY: return "too little memory; ask weckd_memory_bytes";
    case WECKD_ERR_LIMIT: return "larger than a limit of this library";
    case WECKD_ERR_BACKEND: return "no backend of this build can run the bundle here";
    case WECKD_ERR_MODEL: return "the runtime refuses the model, or it is not what the manifest says";
    case WECKD_ERR_GEOMETRY: return "frame, stride or region do not fit the contract";
    case WECKD_ERR_BUSY: return "another thread is using this bundle";
    case WECKD_ERR_SELFTEST: return "the self-test did not pass; do not use this device";
    case WECKD_ERR_ORDER: return "a call out of its order: an examination was begun already, or none was";
    case WECKD_ERR_RUN: return "the runtime failed on this frame";
    default: return "unknown status";
    }
}

const char *weckd_reason_text(weckd_reason reason) {
    switch (reason) {
    case WECKD_REASON_NONE: return "a decision was made";
    case WECKD_REASON_LOW_PROBABILITY: return "no label is probable enough";
    case WECKD_REASON_NOT_A_NUMBER: return "a probability is not a number";
    case WECKD_REASON_TOO_DARK: return "too dark; is the lens covered or the light off?";
    case WECKD_REASON_TOO_BRIGHT: return "too bright";
    case WECKD_REASON_FLAT: return "too little contrast";
    case WECKD_REASON_BLURRED: return "blurred";
    case WECKD_REASON_OUT_OF_DISTRIBUTION: return "not like the training frames";
    case WECKD_REASON_NON_GRADEABLE_LABEL: return "the model abstains on the predicted label";
    case WECKD_REASON_TOO_FEW_FRAMES: return "too few frames count";
    default: return "unknown reason";
    }
}

uint32_t weckd_api_version(void) { return WECKD_API_VERSION; }
uint32_t weckd_bundle_format(void) { return WECKD_BUNDLE_FORMAT; }
const char *weckd_library_version(void) { return WECKD_VERSION; }
