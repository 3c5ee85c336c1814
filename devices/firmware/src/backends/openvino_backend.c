/* OpenVINO on the CPU, through its C API, loaded when a bundle is opened. SPDX-License-Identifier: Apache-2.0
 *
 * The model comes from the bytes that were hashed, never from its file again. It computes in float32 where a layer is not
 * int8 (INFERENCE_PRECISION_HINT), as the bundle was verified; that is the one setting a manifest may name.
 * The compiled model is stored by the digests of what it was compiled from (compiled_cache.h), so that a warm start reads no
 * model at all. OpenVINO's own cache (CACHE_DIR) would parse it first.
 */
#include "backends/common.h"
#include "backends/compiled_cache.h"
#include "files/path.h"
#include "formats/onnx.h"

#include <openvino/c/openvino.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRECISION "f32"

/* Every function of OpenVINO that is used. */
#define CALLS(call)                                    \
    call(ov_core_create)                               \
    call(ov_core_free)                                 \
    call(ov_core_set_property)                         \
    call(ov_core_read_model_from_memory_buffer)        \
    call(ov_core_compile_model)                        \
    call(ov_compiled_model_free)                       \
    call(ov_compiled_model_create_infer_request)       \
    call(ov_compiled_model_inputs_size)                \
    call(ov_compiled_model_outputs_size)               \
    call(ov_compiled_model_input)                      \
    call(ov_compiled_model_output)                     \
    call(ov_infer_request_free)                        \
    call(ov_infer_request_set_input_tensor_by_index)   \
    call(ov_infer_request_set_output_tensor_by_index)  \
    call(ov_infer_request_infer)                       \
    call(ov_model_free)                                \
    call(ov_tensor_create_from_host_ptr)               \
    call(ov_tensor_free)                               \
    call(ov_port_get_element_type)                     \
    call(ov_const_port_get_shape)                      \
    call(ov_shape_free)                                \
    call(ov_output_const_port_free)                    \
    call(ov_get_openvino_version)                      \
    call(ov_version_free)                              \
    call(ov_core_get_property)                         \
    call(ov_core_import_model)                         \
    call(ov_compiled_model_export_model)               \
    call(ov_free)                                      \
    call(ov_get_last_err_msg)

typedef struct calls {
#define FIELD(name) __typeof__(name) *name;
    CALLS(FIELD)
#undef FIELD
} calls;

typedef struct session {
    const calls *api;
    ov_core_t *core;
    ov_model_t *model;
    ov_compiled_model_t *compiled;
    ov_infer_request_t *request;
    ov_tensor_t *pixels, *probabilities, *weights;
    char *blob; /* a compiled model from the cache: OpenVINO reads its weights where they lie */
} session;

static int failed(const calls *api, weckd_error error, int status, const char *step) {
    const char *text = api->ov_get_last_err_msg();
    return weckd_fail(error, status, "OpenVINO: %s failed (%.180s)", step, text != NULL ? text : "no reason given");
}

static void unload(void *runtime) { free(runtime); /* the library stays: it does not stand being loaded twice */ }

static int start(void *library, void *runtime, weckd_error error) {
    calls *api = runtime;
    bool is_complete = true;
#define FIND(name) is_complete = weckd_library_find(library, #name, &api->name) && is_complete;
    CALLS(FIND)
#undef FIND
    return is_complete ? WECKD_OK
                       : weckd_fail(error, WECKD_ERR_BACKEND,
                                    "OpenVINO's library lacks a call that is needed; 2024.0 or newer is expected");
}

static int load(const char *library, void **runtime, weckd_error error) {
    static const char *const names[] = {"libopenvino_c.so", WECKD_OPENVINO_SONAME, NULL};
    return weckd_runtime_load(library, names, sizeof(calls), start, runtime, error);
}

static void version(void *runtime, char text[WECKD_VERSION_BYTES]) {
    const calls *api = runtime;
    ov_version_t about = {0};
    if (api->ov_get_openvino_version(&about) == OK && about.buildNumber != NULL) {
        (void)snprintf(text, WECKD_VERSION_BYTES, "%.*s", (int)strcspn(about.buildNumber, "-"), about.buildNumber);
    }
    api->ov_version_free(&about);
}

static void close_session(void *opened) {
    session *own = opened;
    const calls *api = own->api;
    if (own->request != NULL) {
        api->ov_infer_request_free(own->request);
    }
    if (own->pixels != NULL) {
        api->ov_tensor_free(own->pixels);
    }
    if (own->probabilities != NULL) {
        api->ov_tensor_free(own->probabilities);
    }
    if (own->compiled != NULL) {
        api->ov_compiled_model_free(own->compiled);
    }
    if (own->model != NULL) {
        api->ov_model_free(own->model);
    }
    if (own->weights != NULL) {
        api->ov_tensor_free(own->weights);
    }
    if (own->core != NULL) {
        api->ov_core_free(own->core);
    }
    free(own->blob);
    free(own);
}

static int configure(session *own, const weckd_session_request *request, weckd_error error) {
    char threads[16];
    (void)snprintf(threads, sizeof threads, "%u", request->threads);
    const char *const properties[][2] = {
        {"PERFORMANCE_HINT", "LATENCY"},
        {"NUM_STREAMS", "1"},
        {"INFERENCE_NUM_THREADS", threads},
        {"INFERENCE_PRECISION_HINT", PRECISION},
    };
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++) {
        if (own->api->ov_core_set_property(own->core, "CPU", properties[i][0], properties[i][1]) != OK) {
            return failed(own->api, error, WECKD_ERR_MODEL, properties[i][0]);
        }
    }
    return WECKD_OK;
}

/* OpenVINO goes by the content, not by the name: what is not XML could be an ONNX graph. */
static int check_graph(const weckd_blob *graph, weckd_error error) {
    if (weckd_path_ends_with(graph->path, ".onnx")) {
        return weckd_onnx_check(graph->data, graph->bytes, error);
    }
    return graph->bytes > 0 && graph->data[0] == '<' ? WECKD_OK
                                                     : weckd_fail(error, WECKD_ERR_MODEL, "%.150s: is no XML", graph->path);
}

/* An IR is a text and its weights; an ONNX graph is one file. */
static int read_model(session *own, const weckd_session_request *request, weckd_error error) {
    const weckd_blob *graph = NULL, *weights = NULL;
    for (size_t i = 0; i < request->count; i++) {
        const weckd_blob *file = &request->files[i];
        if (weckd_path_ends_with(file->path, ".bin")) {
            weights = file;
        } else if (weckd_path_ends_with(file->path, ".xml") || weckd_path_ends_with(file->path, ".onnx")) {
            graph = file;
        }
    }
    if (graph == NULL) {
        return weckd_fail(error, WECKD_ERR_MODEL, "the bundle's model for OpenVINO is neither .xml nor .onnx");
    }
    int status = check_graph(graph, error);
    if (status != WECKD_OK) {
        return status;
    }
    if (weights != NULL && weights->bytes > 0) {
        int64_t side = (int64_t)weights->bytes;
        ov_shape_t shape = {.rank = 1, .dims = &side};
        void *data = (void *)(uintptr_t)weights->data; /* OpenVINO reads weights and does not write them */
        if (own->api->ov_tensor_create_from_host_ptr(U8, shape, data, &own->weights) != OK) {
            return failed(own->api, error, WECKD_ERR_MODEL, "taking the weights");
        }
    }
    if (own->api->ov_core_read_model_from_memory_buffer(own->core, (const char *)graph->data, graph->bytes, own->weights,
                                                        &own->model) != OK) {
        return failed(own->api, error, WECKD_ERR_MODEL, "reading the model");
    }
    return WECKD_OK;
}

/* Compare a port with the manifest's input or output. */
static bool has_type_and_shape(const calls *api, const ov_output_const_port_t *port, ov_element_type_e type, const int64_t *sides,
                           int64_t rank) {
    ov_element_type_e found_type;
    ov_shape_t shape = {0};
    if (api->ov_port_get_element_type(port, &found_type) != OK || api->ov_const_port_get_shape(port, &shape) != OK) {
        return false;
    }
    bool same = found_type == type && shape.rank == rank;
    for (int64_t i = 0; same && i < rank; i++) {
        same = shape.dims[i] == sides[i];
    }
    (void)api->ov_shape_free(&shape);
    return same;
}

static int check_ports(session *own, const int64_t *pixels, const int64_t *probabilities, weckd_error error) {
    const calls *api = own->api;
    size_t inputs = 0, outputs = 0;
    ov_output_const_port_t *in = NULL, *out = NULL;
    bool good = api->ov_compiled_model_inputs_size(own->compiled, &inputs) == OK && inputs == 1 &&
                api->ov_compiled_model_outputs_size(own->compiled, &outputs) == OK && outputs == 1 &&
                api->ov_compiled_model_input(own->compiled, &in) == OK &&
                api->ov_compiled_model_output(own->compiled, &out) == OK && has_type_and_shape(api, in, U8, pixels, 4) &&
                has_type_and_shape(api, out, F32, probabilities, 2);
    if (in != NULL) {
        api->ov_output_const_port_free(in);
    }
    if (out != NULL) {
        api->ov_output_const_port_free(out);
    }
    return good ? WECKD_OK : weckd_fail_ports(error);
}

/* Make the key of a compiled model: its files, and the processor, the version and every setting that it depends on. */
static void name_cache(session *own, const weckd_session_request *request, weckd_cache_key *key) {
    char text[WECKD_VERSION_BYTES] = "";
    char *processor = NULL;
    version((void *)(uintptr_t)own->api, text);
    weckd_cache_key_start(key);
    weckd_cache_key_add(key, text);
    if (own->api->ov_core_get_property(own->core, "CPU", "FULL_DEVICE_NAME", &processor) == OK && processor != NULL) {
        weckd_cache_key_add(key, processor);
        own->api->ov_free(processor);
    }
    (void)snprintf(text, sizeof text, "threads %u, precision " PRECISION, request->threads);
    weckd_cache_key_add(key, text);
    weckd_cache_key_end(key, request);
}

static bool import_cached(session *own, const weckd_session_request *request, const weckd_cache_key *key) {
    size_t bytes = 0;
    own->blob = weckd_cache_read(request->cache_dir, key, &bytes);
    if (own->blob != NULL &&
        own->api->ov_core_import_model(own->core, own->blob, bytes, "CPU", &own->compiled) == OK) {
        return true;
    }
    own->compiled = NULL;
    free(own->blob);
    own->blob = NULL;
    return false;
}

static void export_to_cache(session *own, const weckd_session_request *request, const weckd_cache_key *key) {
    char path[WECKD_CACHE_PATH_BYTES];
    if (weckd_cache_begin(request->cache_dir, key, path)) {
        weckd_cache_end(request->cache_dir, key, path,
                        own->api->ov_compiled_model_export_model(own->compiled, path) == OK);
    }
}

static int compile(session *own, const weckd_session_request *request, weckd_error error) {
    const calls *api = own->api;
    weckd_cache_key key;
    if (request->cache_dir != NULL) {
        name_cache(own, request, &key);
        if (import_cached(own, request, &key)) {
            return WECKD_OK;
        }
    }
    int status = read_model(own, request, error);
    if (status != WECKD_OK) {
        return status;
    }
    if (api->ov_core_compile_model(own->core, own->model, "CPU", 0, &own->compiled) != OK) {
        return failed(api, error, WECKD_ERR_MODEL, "compiling the model");
    }
    api->ov_model_free(own->model);
    own->model = NULL;
    if (request->cache_dir != NULL) {
        export_to_cache(own, request, &key); /* where that fails, the next start is slower, and no more */
    }
    return WECKD_OK;
}

static int prepare(void *opened, void *runtime, const weckd_session_request *request, weckd_error error) {
    session *own = opened;
    const calls *api = own->api = runtime;
    int64_t pixels[4] = {1, request->height, request->width, 3}, probabilities[2] = {1, request->classes};
    if (api->ov_core_create(&own->core) != OK) {
        return failed(api, error, WECKD_ERR_BACKEND, "starting");
    }
    int status = configure(own, request, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = compile(own, request, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = check_ports(own, pixels, probabilities, error);
    if (status != WECKD_OK) {
        return status;
    }
    ov_shape_t pixel_shape = {.rank = 4, .dims = pixels}, probabilities_shape = {.rank = 2, .dims = probabilities};
    if (api->ov_compiled_model_create_infer_request(own->compiled, &own->request) != OK ||
        api->ov_tensor_create_from_host_ptr(U8, pixel_shape, request->pixels, &own->pixels) != OK ||
        api->ov_tensor_create_from_host_ptr(F32, probabilities_shape, request->probabilities, &own->probabilities) != OK ||
        api->ov_infer_request_set_input_tensor_by_index(own->request, 0, own->pixels) != OK ||
        api->ov_infer_request_set_output_tensor_by_index(own->request, 0, own->probabilities) != OK) {
        return failed(api, error, WECKD_ERR_MODEL, "preparing a request");
    }
    return WECKD_OK;
}

static int open_session(void *runtime, const weckd_session_request *request, void **opened, weckd_error error) {
    return weckd_session_open(sizeof(session), prepare, close_session, runtime, request, opened, error);
}

static int run(void *opened, weckd_error error) {
    session *own = opened;
    return own->api->ov_infer_request_infer(own->request) == OK ? WECKD_OK
                                                                : failed(own->api, error, WECKD_ERR_RUN, "running a frame");
}

const weckd_backend weckd_openvino_backend = {
    .name = "openvino",
    .reads_onnx = true,
    .load = load,
    .open = open_session,
    .run = run,
    .close = close_session,
    .unload = unload,
    .version = version,
};
