/* Opening a bundle: verify it, lay out its block, open its model. SPDX-License-Identifier: Apache-2.0 */
#include "bundle/verify.h"
#include "backends/common.h"
#include "files/bundle_files.h"
#include "guard/guard_file.h"
#include "runtime/choose.h"
#include "runtime/opened_bundle.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const weckd_options DEFAULTS = {0};

static uint64_t monotonic_ns(void *context) {
    (void)context;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Buffers that the files of the chosen model are read into. */
typedef struct model_buffers {
    const weckd_entry *entry;
    uint8_t *data[WECKD_MAX_MODEL_FILES];
} model_buffers;

static void place_buffers(model_buffers *buffers, const weckd_entry *entry, uint8_t *at) {
    buffers->entry = entry;
    for (size_t i = 0; i < entry->count; i++) {
        buffers->data[i] = at;
        at += (entry->files[i].bytes + WECKD_ALIGN - 1) / WECKD_ALIGN * WECKD_ALIGN;
    }
}

static void *buffer_of(const char *path, void *context) {
    const model_buffers *buffers = context;
    for (size_t i = 0; i < buffers->entry->count; i++) {
        if (strcmp(buffers->entry->files[i].path, path) == 0) {
            return buffers->data[i];
        }
    }
    return NULL;
}

static weckd_blob blob_of(const model_buffers *buffers, const weckd_file_ref *file) {
    return file == NULL ? (weckd_blob){0}
                        : (weckd_blob){file->path, buffers->data[file - buffers->entry->files], (size_t)file->bytes, file->sha256};
}

#define NOT_PROVED 1 /* a file that was built here is not what the device's choice says: it chose nothing */

/* Read the files of a model that was built here; the manifest's own are read while all of its files are checked. */
static int read_built_files(int folder_fd, const model_buffers *buffers) {
    const weckd_entry *entry = buffers->entry;
    for (size_t i = 0; weckd_entry_is_built_here(entry) && i < entry->count; i++) {
        const weckd_file_ref *file = &entry->files[i];
        if (weckd_file_check(folder_fd, file->path, file->bytes, file->sha256, buffers->data[i], (weckd_error){NULL}) != WECKD_OK) {
            return NOT_PROVED;
        }
    }
    return WECKD_OK;
}

static int reserve_block(const weckd_options *options, size_t bytes, uint8_t **block, weckd_error error) {
    if (options->memory == NULL) {
        *block = aligned_alloc(WECKD_ALIGN, bytes);
        return *block != NULL ? WECKD_OK : weckd_fail(error, WECKD_ERR_MEMORY, "no memory for %zu bytes", bytes);
    }
    if ((uintptr_t)options->memory % WECKD_ALIGN != 0) {
        return weckd_fail(error, WECKD_ERR_ARGUMENT, "options: the block is not aligned to %d bytes", WECKD_ALIGN);
    }
    if (options->memory_bytes < bytes) {
        return weckd_fail(error, WECKD_ERR_MEMORY, "options: expected a block of %zu bytes, got %zu", bytes,
                          options->memory_bytes);
    }
    *block = options->memory;
    return WECKD_OK;
}

static void copy_file_ref(weckd_golden_file *to, const weckd_file_ref *from) {
    memcpy(to->path, from->path, strlen(from->path) + 1);
    to->bytes = from->bytes;
    memcpy(to->sha256, from->sha256, sizeof to->sha256);
}

static uint32_t crop_left(const weckd_manifest *manifest) { return (manifest->contract.frame_width - manifest->crop_width) / 2; }
static uint32_t crop_top(const weckd_manifest *manifest) { return (manifest->contract.frame_height - manifest->crop_height) / 2; }

/* Return the sizes of the front end: it makes the network's pixels of the crop, or the whole frame for a graph that takes that. */
static weckd_front_end_spec front_end_of(const weckd_manifest *manifest, const weckd_options *options, bool resizes) {
    const weckd_contract *contract = &manifest->contract;
    return (weckd_front_end_spec){
        .frame_width = contract->frame_width,
        .frame_height = contract->frame_height,
        .left = resizes ? crop_left(manifest) : 0,
        .top = resizes ? crop_top(manifest) : 0,
        .width = resizes ? manifest->crop_width : contract->frame_width,
        .height = resizes ? manifest->crop_height : contract->frame_height,
        .network_width = resizes ? contract->input_width : 0,
        .network_height = resizes ? contract->input_height : 0,
        .max_source_width = options->max_source_width,
        .max_source_height = options->max_source_height,
    };
}

static weckd_bundle *lay_out(uint8_t *block, const weckd_layout *layout, const weckd_manifest *manifest,
                             const weckd_entry *entry, const weckd_options *options) {
    weckd_bundle *bundle = (weckd_bundle *)(void *)block;
    /* Every page is written once, so that no frame waits for one; the model's are written when it is read. */
    memset(block, 0, layout->model);
    memset(block + layout->after_model, 0, layout->bytes - layout->after_model);
    bundle->contract = manifest->contract;
    bundle->clock_ns = options->clock_ns != NULL ? options->clock_ns : monotonic_ns;
    bundle->clock_context = options->clock_context;
    bundle->guard = manifest->guard.path != NULL ? (weckd_guard_state *)(void *)(block + layout->guard) : NULL;
    bundle->exam = weckd_exam_init(block + layout->exam, &manifest->exam, manifest->contract.classes);
    bundle->non_gradeable_labels = block + layout->non_gradeable_labels;
    bundle->labels = (char *)block + layout->labels;
    bundle->probabilities = (float *)(void *)(block + layout->probabilities);
    bundle->expected = (float *)(void *)(block + layout->expected);
    bundle->frame = block + layout->frame;
    bundle->max_source_width = options->max_source_width;
    bundle->max_source_height = options->max_source_height;
    bundle->pixels = entry->takes_pixels ? block + layout->pixels : NULL;
    const weckd_front_end_spec spec = front_end_of(manifest, options, entry->takes_pixels);
    bundle->front_end = weckd_front_end_init(&spec, block + layout->front_end);
    bundle->owns_memory = options->memory == NULL;
    bundle->folder_fd = -1;
    atomic_flag_clear(&bundle->busy);
    copy_file_ref(&bundle->golden_frames, &manifest->golden_frames);
    copy_file_ref(&bundle->golden_predictions, &entry->expected);
    for (uint32_t i = 0; i < manifest->contract.classes; i++) {
        const char *label = json_string_value(json_array_get(manifest->labels, i));
        memcpy(bundle->labels + (size_t)i * WECKD_MAX_LABEL_BYTES, label, strlen(label) + 1);
        for (size_t k = 0; k < json_array_size(manifest->non_gradeable_labels); k++) {
            const char *abstained = json_string_value(json_array_get(manifest->non_gradeable_labels, k));
            bundle->non_gradeable_labels[i] |= (uint8_t)(strcmp(label, abstained) == 0);
        }
    }
    bundle->crop = ((size_t)crop_top(manifest) * manifest->contract.frame_width + crop_left(manifest)) * 3;
    if (bundle->guard != NULL) {
        weckd_guard_set_grid(bundle->guard, manifest->crop_width, manifest->crop_height);
    }
    return bundle;
}

static int open_model(weckd_bundle *bundle, weckd_choice *choice, const model_buffers *buffers, const weckd_options *options,
                      weckd_error error) {
    const weckd_contract *contract = &bundle->contract;
    bool resizes = bundle->pixels != NULL;
    uint32_t height = resizes ? contract->input_height : contract->frame_height;
    uint32_t width = resizes ? contract->input_width : contract->frame_width;
    const weckd_session_request request = {
        .graph = blob_of(buffers, choice->graph),
        .weights = blob_of(buffers, choice->weights),
        .half = choice->entry.half,
        .cache_dir = options->cache_dir,
        .threads = options->threads == 0 ? 1 : options->threads,
        .pixels_shape = {1, height, width, 3},
        .probabilities_shape = {1, contract->classes},
        .pixels_bytes = (size_t)height * width * 3,
        .probabilities_bytes = contract->classes * sizeof(float),
        .pixels = resizes ? bundle->pixels : bundle->frame,
        .probabilities = bundle->probabilities,
    };
    bundle->backend = choice->backend;
    bundle->runtime = choice->runtime;
    choice->runtime = NULL; /* the bundle owns it from here on */
    bundle->backend->version(bundle->runtime, bundle->backend_version);
    bundle->model = (weckd_model){
        .backend = bundle->backend->name,
        .backend_version = bundle->backend_version,
        .precision = choice->entry.precision,
        .tolerance = choice->entry.tolerance,
        .chosen_here = choice->by_device,
        .takes_frame = !resizes,
    };
    int status = weckd_graph_check(&request.graph, error);
    return status == WECKD_OK ? bundle->backend->open(bundle->runtime, &request, &bundle->session, error) : status;
}

/* Open a bundle whose manifest was verified: check every file while it is read, then open the model. On success the
 * bundle owns the folder's descriptor. NOT_PROVED: no error is written. */
static int open_verified(int folder_fd, const weckd_options *options, weckd_manifest *manifest, weckd_choice *choice,
                         weckd_bundle **opened, weckd_error error) {
    weckd_sizes sizes = {
        .frame_width = manifest->contract.frame_width,
        .frame_height = manifest->contract.frame_height,
        .input_width = manifest->contract.input_width,
        .input_height = manifest->contract.input_height,
        .classes = manifest->contract.classes,
        .max_source_width = options->max_source_width,
        .max_source_height = options->max_source_height,
        .model_bytes = weckd_entry_bytes(&choice->entry),
    };
    weckd_layout layout = {0};
    if (!weckd_layout_of(&sizes, &layout)) {
        return weckd_fail(error, WECKD_ERR_LIMIT, "the model's files have %llu bytes, more than the limit",
                          (unsigned long long)sizes.model_bytes);
    }
    uint8_t *block = NULL;
    int status = reserve_block(options, layout.bytes, &block, error);
    if (status != WECKD_OK) {
        return status;
    }
    manifest->contract.model_bytes = sizes.model_bytes;
    weckd_bundle *bundle = lay_out(block, &layout, manifest, &choice->entry, options);
    model_buffers buffers = {0};
    place_buffers(&buffers, &choice->entry, block + layout.model);
    status = read_built_files(folder_fd, &buffers);
    if (status != WECKD_OK) {
        goto failed;
    }
    status = weckd_verify_files(folder_fd, manifest, buffer_of, &buffers, error);
    if (status != WECKD_OK) {
        goto failed;
    }
    if (bundle->guard != NULL) {
        status = weckd_guard_read(folder_fd, manifest, &bundle->guard->guard, error);
        if (status != WECKD_OK) {
            goto failed;
        }
    }
    status = open_model(bundle, choice, &buffers, options, error);
    if (status != WECKD_OK) {
        goto failed;
    }
    bundle->folder_fd = folder_fd;
    *opened = bundle;
    return WECKD_OK;
failed:
    weckd_close(bundle);
    return status;
}

/* Choose a model and open it. An engine of the device's choice may be one that its runtime takes no more, as where an update of the
 * system brought another TensorRT: then the manifest's order holds. */
static int open_chosen(int folder_fd, const weckd_options *options, weckd_manifest *manifest, weckd_bundle **opened,
                       weckd_error error) {
    char message[WECKD_MESSAGE_BYTES] = "";
    weckd_choice choice = {0};
    int status = weckd_choose(folder_fd, manifest, options, &choice, error);
    if (status != WECKD_OK) {
        goto done;
    }
    status = open_verified(folder_fd, options, manifest, &choice, opened, (weckd_error){message});
    if (status == NOT_PROVED || (status == WECKD_ERR_MODEL && weckd_entry_is_built_here(&choice.entry))) {
        char why_none[WECKD_MESSAGE_BYTES] = "";
        weckd_choice_free(&choice);
        int listed = weckd_choose_listed(manifest, options, &choice, (weckd_error){why_none});
        if (listed == WECKD_OK) {
            status = open_verified(folder_fd, options, manifest, &choice, opened, (weckd_error){message});
        } else if (status == NOT_PROVED) {
            status = listed;
            memcpy(message, why_none, sizeof message);
        }
    }
    if (status != WECKD_OK) {
        (void)weckd_fail(error, status, "%s", message);
    }
done:
    weckd_choice_free(&choice);
    return status;
}

static void close_folder(int folder_fd, weckd_manifest *manifest) {
    weckd_manifest_free(manifest);
    (void)close(folder_fd);
}

/* Check the options, open the folder and verify the manifest. On success the caller closes and frees. */
static int open_folder(const char *folder, const weckd_options *options, int *folder_fd, weckd_manifest *manifest,
                       weckd_error error) {
    int status = weckd_options_check(options, error);
    if (status != WECKD_OK) {
        return status;
    }
    *folder_fd = weckd_folder_open(folder, error);
    if (*folder_fd < 0) {
        return *folder_fd;
    }
    status = weckd_verify_manifest(*folder_fd, options, manifest, error);
    if (status != WECKD_OK) {
        close_folder(*folder_fd, manifest);
    }
    return status;
}

int weckd_open(const char *folder, const weckd_options *options, weckd_bundle **bundle) {
    options = options != NULL ? options : &DEFAULTS;
    weckd_error error = {options->message};
    if (folder == NULL || bundle == NULL) {
        return weckd_fail(error, WECKD_ERR_ARGUMENT, "weckd_open: expected a folder and a place for the bundle, got NULL");
    }
    *bundle = NULL;
    int folder_fd = -1;
    weckd_manifest manifest;
    int status = open_folder(folder, options, &folder_fd, &manifest, error);
    if (status == WECKD_OK) {
        status = open_chosen(folder_fd, options, &manifest, bundle, error);
        weckd_manifest_free(&manifest);
        if (status != WECKD_OK) {
            (void)close(folder_fd);
        }
    }
    return status;
}

int weckd_check(const char *folder, const weckd_options *options, weckd_contract *contract) {
    options = options != NULL ? options : &DEFAULTS;
    weckd_error error = {options->message};
    if (folder == NULL) {
        return weckd_fail(error, WECKD_ERR_ARGUMENT, "weckd_check: expected a folder, got NULL");
    }
    int folder_fd = -1;
    weckd_manifest manifest;
    int status = open_folder(folder, options, &folder_fd, &manifest, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = weckd_verify_files(folder_fd, &manifest, NULL, NULL, error);
    if (status != WECKD_OK) {
        goto done;
    }
    status = weckd_guard_read(folder_fd, &manifest, NULL, error);
    if (status != WECKD_OK || contract == NULL) {
        goto done;
    }
    *contract = manifest.contract;
    contract->model_bytes = weckd_largest_model(folder_fd, &manifest, options);
done:
    close_folder(folder_fd, &manifest);
    return status;
}

void weckd_close(weckd_bundle *bundle) {
    if (bundle == NULL) {
        return;
    }
    if (bundle->session != NULL) {
        bundle->backend->close(bundle->session);
    }
    if (bundle->runtime != NULL) {
        bundle->backend->unload(bundle->runtime);
    }
    if (bundle->folder_fd >= 0) {
        (void)close(bundle->folder_fd);
    }
    if (bundle->owns_memory) {
        free(bundle);
    }
}
