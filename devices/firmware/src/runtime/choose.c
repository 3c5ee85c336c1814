/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/choose.h"

#include "files/path.h"

#include <string.h>

static const weckd_error SILENT = {NULL};

void weckd_choice_free(weckd_choice *choice) {
    if (choice->runtime != NULL) {
        choice->backend->unload(choice->runtime);
    }
    json_decref(choice->record);
    memset(choice, 0, sizeof *choice);
}

uint64_t weckd_entry_bytes(const weckd_entry *entry) {
    uint64_t sum = 0; /* at most WECKD_MAX_MODEL_BYTES: manifest and choice were held to it */
    for (size_t k = 0; k < entry->count; k++) {
        sum += entry->files[k].bytes;
    }
    return sum;
}

static const weckd_file_ref *find_file(const weckd_entry *entry, const char *ending) {
    for (size_t k = 0; k < entry->count; k++) {
        if (weckd_path_ends_with(entry->files[k].path, ending)) {
            return &entry->files[k];
        }
    }
    return NULL;
}

/* Find the backend and the graph of an entry. false: this build does not run it, or the options ask for another. A message is
 * written only where its backend is in this build, and it was not asked for another. */
static bool take(const weckd_options *options, const weckd_entry *entry, weckd_choice *choice, weckd_error error) {
    choice->entry = *entry;
    choice->backend = weckd_backend_find(entry->backend);
    if (choice->backend == NULL || (options->backend != NULL && strcmp(options->backend, entry->backend) != 0) ||
        (options->precision != NULL && strcmp(options->precision, entry->precision) != 0)) {
        return false;
    }
    choice->graph = NULL;
    for (const char *const *ending = choice->backend->graphs; choice->graph == NULL && *ending != NULL; ending++) {
        choice->graph = find_file(&choice->entry, *ending);
    }
    choice->weights = find_file(&choice->entry, ".bin");
    const char *never = choice->backend->never_int8;
    if (choice->graph != NULL && never != NULL && strcmp(entry->precision, "int8") == 0 &&
        weckd_path_ends_with(choice->graph->path, never)) {
        (void)weckd_fail(error, WECKD_ERR_BACKEND, "%.80s: %s may compute an int8 model of a %s otherwise than it is written; choose "
                         "another backend or precision", choice->graph->path, choice->backend->name, never);
        choice->graph = NULL;
    }
    return choice->graph != NULL;
}

/* Load the runtime, where this processor computes as the entry asks for. */
static int load(const weckd_options *options, weckd_choice *choice, weckd_error error) {
    const weckd_backend *backend = choice->backend;
    int status = backend->load(options->library, &choice->runtime, error);
    if (status == WECKD_OK && choice->entry.half && (backend->has_half == NULL || !backend->has_half(choice->runtime))) {
        backend->unload(choice->runtime);
        choice->runtime = NULL;
        status = weckd_fail(error, WECKD_ERR_BACKEND, "the model for %s computes in float16, which this processor does not",
                            backend->name);
    }
    return status;
}

int weckd_choose(int folder_fd, const weckd_manifest *manifest, const weckd_options *options, weckd_choice *choice,
                 weckd_error error) {
    weckd_entry entry;
    memset(choice, 0, sizeof *choice);
    choice->record = weckd_choice_read(folder_fd, manifest, &entry);
    if (choice->record != NULL && take(options, &entry, choice, SILENT) && load(options, choice, SILENT) == WECKD_OK) {
        choice->by_device = true;
        return WECKD_OK;
    }
    weckd_choice_free(choice);
    return weckd_choose_listed(manifest, options, choice, error);
}

int weckd_choose_listed(const weckd_manifest *manifest, const weckd_options *options, weckd_choice *choice, weckd_error error) {
    weckd_entry entry;
    memset(choice, 0, sizeof *choice);
    if (options->backend != NULL && weckd_backend_find(options->backend) == NULL) {
        return weckd_fail(error, WECKD_ERR_BACKEND, "this build has no backend called '%.60s'", options->backend);
    }
    int status = WECKD_ERR_BACKEND;
    bool has_failed = false;
    char reason[WECKD_MESSAGE_BYTES] = "";
    for (size_t i = 0; i < json_array_size(manifest->models); i++) {
        char why[WECKD_MESSAGE_BYTES] = "";
        if (!weckd_manifest_entry(manifest, i, &entry)) {
            continue;
        }
        bool is_taken = take(options, &entry, choice, (weckd_error){why});
        int loaded = is_taken ? load(options, choice, (weckd_error){why}) : WECKD_ERR_BACKEND;
        if (loaded == WECKD_OK) {
            return WECKD_OK;
        }
        /* Where none loads, the first one's error is reported: it would have been chosen. */
        if (is_taken ? !has_failed : reason[0] == '\0') {
            memcpy(reason, why, sizeof reason);
            status = loaded;
        }
        has_failed = has_failed || is_taken;
    }
    if (reason[0] != '\0') {
        return weckd_fail(error, status, "%s", reason);
    }
    return weckd_fail(error, status, "the bundle has no model that this build runs here%s%.60s%s%.60s",
                      options->backend != NULL ? " with " : "", options->backend != NULL ? options->backend : "",
                      options->precision != NULL ? " in " : "", options->precision != NULL ? options->precision : "");
}

uint64_t weckd_largest_model(int folder_fd, const weckd_manifest *manifest, const weckd_options *options) {
    weckd_choice choice = {0};
    weckd_entry entry;
    json_t *record = weckd_choice_read(folder_fd, manifest, &entry);
    uint64_t most = record != NULL && take(options, &entry, &choice, SILENT) ? weckd_entry_bytes(&entry) : 0;
    json_decref(record);
    for (size_t i = 0; i < json_array_size(manifest->models); i++) {
        if (weckd_manifest_entry(manifest, i, &entry) && take(options, &entry, &choice, SILENT) && weckd_entry_bytes(&entry) > most) {
            most = weckd_entry_bytes(&entry);
        }
    }
    return most;
}
