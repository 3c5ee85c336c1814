/* OpenVINO on the CPU, through its C API, loaded when a bundle is opened. SPDX-License-Identifier: Apache-2.0
 *
 * The model comes from the bytes that were hashed, never from its file again. Where a layer is not int8, it computes in float32,
 * or in float16 where the manifest says so (INFERENCE_PRECISION_HINT); that is the one setting a manifest may name.
 * An int8 model is an IR: of an ONNX graph's Q/DQ pairs OpenVINO's reader loses the scale behind a concatenation, and Python, which
 * gathers the pairs first, has no counterpart here.
 * The compiled model is stored by the digests of what it was compiled from (compiled_cache.h), so that a warm start reads no
 * model at all. OpenVINO's own cache (CACHE_DIR) would parse it first.
 */
#include "backends/common.h"
#include "backends/compiled_cache.h"

#include <openvino/c/openvino.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

typedef struct runtime {
    calls api;
    ov_core_t *core;
} runtime;

typedef struct session {
    runtime *ov;
    const calls *api; /* the runtime's */
    ov_model_t *model;
    ov_compiled_model_t *compiled;
    ov_infer_request_t *request;
    ov_tensor_t *pixels, *probabilities, *weights;
    char *blob; /* a compiled model from the cache: OpenVINO reads its weights where they lie */
} session;

static int failed(const calls *api, weckd_error error, int status, const char *step) {
    const char *text = api->ov_get_last_err_msg(); /* a copy */
    (void)weckd_fail(error, status, "OpenVINO: %s failed (%.180s)", step, text != NULL ? text : "no reason given");
    api->ov_free(text);
    return status;
}

static void unload(void *loaded) { /* the library stays: it does not stand being loaded twice */
    runtime *ov = loaded;
    ov->api.ov_core_free(ov->core);
    free(ov);
}

static int start(void *library, void *loaded, weckd_error error) {
    runtime *ov = loaded;
    calls *api = &ov->api;
    bool is_complete = true;
#define FIND(name) is_complete = weckd_library_find(library, #name, &api->name) && is_complete;
    CALLS(FIND)
#undef FIND
    if (!is_complete) {
        return weckd_fail(error, WECKD_ERR_BACKEND, "OpenVINO's library lacks a call that is needed; 2024.0 or newer is expected");
    }
    return api->ov_core_create(&ov->core) == OK ? WECKD_OK : failed(api, error, WECKD_ERR_BACKEND, "starting");
}

static int load(const char *library, void **loaded, weckd_error error) {
    static const char *const names[] = {"libopenvino_c.so", WECKD_OPENVINO_SONAME, NULL};
    return weckd_runtime_load(library, names, sizeof(runtime), start, loaded, error);
}

static void version(void *loaded, char text[WECKD_VERSION_BYTES]) {
    const calls *api = &((const runtime *)loaded)->api;
    ov_version_t about = {0};
    if (api->ov_get_openvino_version(&about) == OK && about.buildNumber != NULL) {
        (void)snprintf(text, WECKD_VERSION_BYTES, "%.*s", (int)strcspn(about.buildNumber, "-"), about.buildNumber);
    }
    api->ov_version_free(&about);
}

/* OpenVINO takes the hint on every processor, and computes in float32 where this one has no float16. */
static bool has_half(void *loaded) {
    const runtime *ov = loaded;
    char *types = NULL;
    bool found = false;
    if (ov->api.ov_core_get_property(ov->core, "CPU", "OPTIMIZATION_CAPABILITIES", &types) == OK && types != NULL) {
        found = strstr(types, "FP16") != NULL;
        ov->api.ov_free(types);
    }
    return found;
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
    free(own->blob);
    free(own);
}

static const char *precision_hint(const weckd_session_request *request) { return request->half ? "f16" : "f32"; }

static int configure(session *own, const weckd_session_request *request, weckd_error error) {
    char threads[16];
    (void)snprintf(threads, sizeof threads, "%u", request->threads);
    const char *const properties[][2] = {
        {"PERFORMANCE_HINT", "LATENCY"},
        {"NUM_STREAMS", "1"},
        {"INFERENCE_NUM_THREADS", threads},
        {"INFERENCE_PRECISION_HINT", precision_hint(request)},
    };
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++) {
        if (own->api->ov_core_set_property(own->ov->core, "CPU", properties[i][0], properties[i][1]) != OK) {
            return failed(own->api, error, WECKD_ERR_MODEL, properties[i][0]);
        }
    }
    return WECKD_OK;
}

/* An IR is a text and its weights; an ONNX graph is one file. */
static int read_model(session *own, const weckd_session_request *request, weckd_error error) {
    const weckd_blob *graph = &request->graph, *weights = &request->weights;
    if (weights->bytes > 0) {
        int64_t side = (int64_t)weights->bytes;
        ov_shape_t shape = {.rank = 1, .dims = &side};
        void *data = (void *)(uintptr_t)weights->data; /* OpenVINO reads weights and does not write them */
        if (own->api->ov_tensor_create_from_host_ptr(U8, shape, data, &own->weights) != OK) {
            return failed(own->api, error, WECKD_ERR_MODEL, "taking the weights");
        }
    }
    if (own->api->ov_core_read_model_from_memory_buffer(own->ov->core, (const char *)graph->data, graph->bytes, own->weights,
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

static int check_ports(session *own, const weckd_session_request *request, weckd_error error) {
    const calls *api = own->api;
    size_t inputs = 0, outputs = 0;
    ov_output_const_port_t *in = NULL, *out = NULL;
    bool good = api->ov_compiled_model_inputs_size(own->compiled, &inputs) == OK && inputs == 1 &&
                api->ov_compiled_model_outputs_size(own->compiled, &outputs) == OK && outputs == 1 &&
                api->ov_compiled_model_input(own->compiled, &in) == OK &&
                api->ov_compiled_model_output(own->compiled, &out) == OK &&
                has_type_and_shape(api, in, U8, request->pixels_shape, 4) &&
                has_type_and_shape(api, out, F32, request->probabilities_shape, 2);
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
    version(own->ov, text);
    weckd_cache_key_start(key);
    weckd_cache_key_add(key, text);
    if (own->api->ov_core_get_property(own->ov->core, "CPU", "FULL_DEVICE_NAME", &processor) == OK && processor != NULL) {
        weckd_cache_key_add(key, processor);
        own->api->ov_free(processor);
    }
    (void)snprintf(text, sizeof text, "threads %u, precision %s", request->threads, precision_hint(request));
    weckd_cache_key_add(key, text);
    weckd_cache_key_end(key, request);
}

static bool import_cached(session *own, const weckd_session_request *request, const weckd_cache_key *key) {
    size_t bytes = 0;
    own->blob = weckd_cache_read(request->cache_dir, key, &bytes);
    if (own->blob != NULL &&
        own->api->ov_core_import_model(own->ov->core, own->blob, bytes, "CPU", &own->compiled) == OK) {
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
    if (api->ov_core_compile_model(own->ov->core, own->model, "CPU", 0, &own->compiled) != OK) {
        return failed(api, error, WECKD_ERR_MODEL, "compiling the model");
    }
    api->ov_model_free(own->model);
    own->model = NULL;
    if (request->cache_dir != NULL) {
        export_to_cache(own, request, &key); /* where that fails, the next start is slower, and no more */
    }
    return WECKD_OK;
}

static int prepare(void *opened, void *loaded, const weckd_session_request *request, weckd_error error) {
    session *own = opened;
    own->ov = loaded;
    const calls *api = own->api = &own->ov->api;
    int status = configure(own, request, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = compile(own, request, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = check_ports(own, request, error);
    if (status != WECKD_OK) {
        return status;
    }
    int64_t pixels[4], probabilities[2]; /* what OpenVINO takes is not const */
    memcpy(pixels, request->pixels_shape, sizeof pixels);
    memcpy(probabilities, request->probabilities_shape, sizeof probabilities);
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

static int open_session(void *loaded, const weckd_session_request *request, void **opened, weckd_error error) {
    return weckd_session_open(sizeof(session), prepare, close_session, loaded, request, opened, error);
}

static int run(void *opened, weckd_error error) {
    session *own = opened;
    return own->api->ov_infer_request_infer(own->request) == OK ? WECKD_OK
                                                                : failed(own->api, error, WECKD_ERR_RUN, "running a frame");
}

const weckd_backend weckd_openvino_backend = {
    .name = "openvino",
    .graphs = {".xml", ".onnx"},
    .never_int8 = ".onnx",
    .load = load,
    .has_half = has_half,
    .open = open_session,
    .run = run,
    .close = close_session,
    .unload = unload,
    .version = version,
};
