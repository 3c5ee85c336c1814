/* ONNX Runtime on the CPU, through its C API, loaded when a bundle is opened. SPDX-License-Identifier: Apache-2.0
 *
 * It runs an ONNX graph from the bytes that were hashed. The session is set as Python's runner sets it (threads, sequential,
 * every optimisation, no spinning), so that the same version gives the same numbers. Threads never spin while they wait for a
 * frame: a battery would pay for it.
 */
#include "backends/common.h"
#include "backends/onnxruntime_api.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct runtime {
    weckd_ort_api api;
    const char *version;
    weckd_ort_env *env;
} runtime;

typedef struct session {
    const runtime *ort;
    weckd_ort_session *opened;
    weckd_ort_allocator *allocator; /* ONNX Runtime's own; not released */
    weckd_ort_value *pixels, *probabilities;
    char *input, *output;
} session;

/* Release a status of the runtime: WECKD_OK, or `kind` with its message. */
static int check(const weckd_ort_api *api, weckd_ort_status *status, int kind, weckd_error error) {
    if (status == NULL) {
        return WECKD_OK;
    }
    (void)weckd_fail(error, kind, "ONNX Runtime: %.220s", api->GetErrorMessage(status));
    api->ReleaseStatus(status);
    return kind;
}

static int check_model(const weckd_ort_api *api, weckd_ort_status *status, weckd_error error) {
    return check(api, status, WECKD_ERR_MODEL, error);
}

/* Try calls whose effect is known: a table of another order would give other results. */
static bool is_in_order(const weckd_ort_api *api) {
    static const char text[] = "a status of weckd_edge";
    weckd_ort_status *status = api->CreateStatus(WECKD_ORT_FAIL, text);
    if (status == NULL) {
        return false;
    }
    bool good = api->GetErrorCode(status) == WECKD_ORT_FAIL && strcmp(api->GetErrorMessage(status), text) == 0;
    api->ReleaseStatus(status);
    return good;
}

static bool find_calls(const void *table, weckd_ort_api *api) {
    void *const *entries = table; /* POSIX: a function's address fits an object's */
    bool is_complete = true;
#define FIND(place, type, name, parameters)                                                                                  \
    is_complete = is_complete && entries[place] != NULL;                                                                     \
    memcpy(&api->name, &entries[place], sizeof api->name);
    WECKD_ORT_CALLS(FIND)
#undef FIND
    return is_complete && is_in_order(api);
}

static int start(void *library, void *loaded, weckd_error error) {
    runtime *ort = loaded;
    const weckd_ort_base *(*get_base)(void) = NULL;
    const weckd_ort_base *base = weckd_library_find(library, "OrtGetApiBase", &get_base) ? get_base() : NULL;
    const void *table = base != NULL ? base->get_api(WECKD_ORT_API) : NULL;
    if (table == NULL) {
        return weckd_fail(error, WECKD_ERR_BACKEND, "the library is not ONNX Runtime 1.5 or newer: it has no table of version %d",
                          WECKD_ORT_API);
    }
    ort->version = base->get_version();
    if (ort->version == NULL || strncmp(ort->version, "1.", 2) != 0 || !find_calls(table, &ort->api)) {
        return weckd_fail(error, WECKD_ERR_BACKEND, "ONNX Runtime %.40s: its table of calls is not the one of versions 1.x",
                          ort->version != NULL ? ort->version : "without a version");
    }
    return check(&ort->api, ort->api.CreateEnv(WECKD_ORT_ERRORS_ONLY, "weckd_edge", &ort->env), WECKD_ERR_BACKEND, error);
}

/* Its packages report to their maker unless this variable is 1 while they load; "0" is somebody's choice and stays. The
 * environment is changed only where it must be, by one thread at a time: weckd_edge.h says what the caller owes to it. */
static bool switch_telemetry_off(void) {
    static const char name[] = "ORT_DISABLE_TELEMETRY";
    static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;
    (void)pthread_mutex_lock(&changing);
    const char *value = getenv(name);
    bool settled = value != NULL && (strcmp(value, "0") == 0 || strcmp(value, "1") == 0);
    bool done = settled || setenv(name, "1", 1) == 0;
    (void)pthread_mutex_unlock(&changing);
    return done;
}

static int load(const char *library, void **loaded, weckd_error error) {
    static const char *const names[] = {"libonnxruntime.so.1", "libonnxruntime.so", NULL};
    if (!switch_telemetry_off()) {
        return weckd_fail(error, WECKD_ERR_MEMORY, "no memory to switch ONNX Runtime's telemetry off");
    }
    return weckd_runtime_load(library, names, sizeof(runtime), start, loaded, error);
}

static void unload(void *loaded) {
    runtime *ort = loaded;
    ort->api.ReleaseEnv(ort->env);
    free(ort);
}

static void version(void *loaded, char text[WECKD_VERSION_BYTES]) {
    (void)snprintf(text, WECKD_VERSION_BYTES, "%s", ((const runtime *)loaded)->version);
}

static void close_session(void *opened) {
    session *own = opened;
    const weckd_ort_api *api = &own->ort->api;
    char *names[2] = {own->input, own->output};
    for (int i = 0; i < 2; i++) {
        if (names[i] != NULL) {
            (void)check_model(api, api->AllocatorFree(own->allocator, names[i]), (weckd_error){NULL});
        }
    }
    if (own->pixels != NULL) {
        api->ReleaseValue(own->pixels);
    }
    if (own->probabilities != NULL) {
        api->ReleaseValue(own->probabilities);
    }
    if (own->opened != NULL) {
        api->ReleaseSession(own->opened);
    }
    free(own);
}

static int configure(const weckd_ort_api *api, const weckd_session_request *request, weckd_ort_options *options,
                     weckd_error error) {
    static const char *const entries[][2] = {
        {"session.intra_op.allow_spinning", "0"},
        {"session.inter_op.allow_spinning", "0"},
        {"session.load_model_format", "ONNX"}, /* no other format was verified */
        {"session.x64quantprecision", "1"},    /* sums of 8-bit products that fit, on x86 without VNNI too */
    };
    int status = check_model(api, api->SetIntraOpNumThreads(options, (int)request->threads), error);
    if (status != WECKD_OK) {
        return status;
    }
    status = check_model(api, api->SetInterOpNumThreads(options, 1), error);
    if (status != WECKD_OK) {
        return status;
    }
    status = check_model(api, api->SetSessionExecutionMode(options, WECKD_ORT_SEQUENTIAL), error);
    if (status != WECKD_OK) {
        return status;
    }
    status = check_model(api, api->SetSessionLogSeverityLevel(options, WECKD_ORT_ERRORS_ONLY), error);
    if (status != WECKD_OK) {
        return status;
    }
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        status = check_model(api, api->AddSessionConfigEntry(options, entries[i][0], entries[i][1]), error);
        if (status != WECKD_OK) {
            return status;
        }
    }
    return WECKD_OK;
}

static int read_model(session *own, const weckd_session_request *request, weckd_error error) {
    const weckd_ort_api *api = &own->ort->api;
    weckd_ort_options *options = NULL;
    int status = check_model(api, api->CreateSessionOptions(&options), error);
    if (status != WECKD_OK) {
        return status;
    }
    status = configure(api, request, options, error);
    if (status != WECKD_OK) {
        goto done;
    }
    status = check_model(api, api->CreateSessionFromArray(own->ort->env, request->graph.data, request->graph.bytes, options,
                                                          &own->opened), error);
done:
    api->ReleaseSessionOptions(options);
    return status;
}

/* Compare the type of an input or output with the manifest's; `type` is released. */
static int check_type(const weckd_ort_api *api, weckd_ort_type *type, int element, const int64_t *sides, size_t rank,
                      weckd_error error) {
    const weckd_ort_shape *shape = NULL;
    int found = 0;
    size_t found_rank = 0;
    int64_t found_sides[4] = {0};
    bool is_same = false;
    if (check_model(api, api->CastTypeInfoToTensorInfo(type, &shape), error) != WECKD_OK || shape == NULL) {
        goto done;
    }
    if (check_model(api, api->GetTensorElementType(shape, &found), error) != WECKD_OK || found != element) {
        goto done;
    }
    if (check_model(api, api->GetDimensionsCount(shape, &found_rank), error) != WECKD_OK || found_rank != rank) {
        goto done;
    }
    is_same = check_model(api, api->GetDimensions(shape, found_sides, rank), error) == WECKD_OK &&
              memcmp(found_sides, sides, rank * sizeof *sides) == 0;
done:
    api->ReleaseTypeInfo(type);
    return is_same ? WECKD_OK : weckd_fail_ports(error);
}

static int check_ports(session *own, const weckd_session_request *request, weckd_error error) {
    const weckd_ort_api *api = &own->ort->api;
    size_t inputs = 0, outputs = 0;
    weckd_ort_type *type = NULL;
    int status = check_model(api, api->SessionGetInputCount(own->opened, &inputs), error);
    if (status != WECKD_OK) {
        return status;
    }
    status = check_model(api, api->SessionGetOutputCount(own->opened, &outputs), error);
    if (status != WECKD_OK) {
        return status;
    }
    if (inputs != 1 || outputs != 1) {
        return weckd_fail(error, WECKD_ERR_MODEL, "expected a graph of one input and one output, got %zu and %zu", inputs, outputs);
    }
    status = check_model(api, api->SessionGetInputTypeInfo(own->opened, 0, &type), error);
    if (status != WECKD_OK) {
        return status;
    }
    status = check_type(api, type, WECKD_ORT_UINT8, request->pixels_shape, 4, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = check_model(api, api->SessionGetOutputTypeInfo(own->opened, 0, &type), error);
    if (status != WECKD_OK) {
        return status;
    }
    return check_type(api, type, WECKD_ORT_FLOAT, request->probabilities_shape, 2, error);
}

static int read_names(session *own, weckd_error error) {
    const weckd_ort_api *api = &own->ort->api;
    int status = check_model(api, api->GetAllocatorWithDefaultOptions(&own->allocator), error);
    if (status != WECKD_OK) {
        return status;
    }
    status = check_model(api, api->SessionGetInputName(own->opened, 0, own->allocator, &own->input), error);
    if (status != WECKD_OK) {
        return status;
    }
    return check_model(api, api->SessionGetOutputName(own->opened, 0, own->allocator, &own->output), error);
}

/* Make tensors of the block's own pixels and probabilities, so that nothing is copied. */
static int bind(session *own, const weckd_session_request *request, weckd_error error) {
    const weckd_ort_api *api = &own->ort->api;
    weckd_ort_memory *memory = NULL;
    int status = check_model(api, api->CreateCpuMemoryInfo(WECKD_ORT_DEVICE_ALLOCATOR, WECKD_ORT_DEFAULT_MEMORY, &memory),
                             error);
    if (status != WECKD_OK) {
        return status;
    }
    status = check_model(api, api->CreateTensorWithDataAsOrtValue(memory, request->pixels, request->pixels_bytes,
                                                                  request->pixels_shape, 4, WECKD_ORT_UINT8, &own->pixels), error);
    if (status != WECKD_OK) {
        goto done;
    }
    status = check_model(api, api->CreateTensorWithDataAsOrtValue(memory, request->probabilities, request->probabilities_bytes,
                                                                  request->probabilities_shape, 2, WECKD_ORT_FLOAT,
                                                                  &own->probabilities), error);
done:
    api->ReleaseMemoryInfo(memory);
    return status;
}

static int prepare(void *opened, void *loaded, const weckd_session_request *request, weckd_error error) {
    session *own = opened;
    own->ort = loaded;
    int status = read_model(own, request, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = check_ports(own, request, error);
    if (status != WECKD_OK) {
        return status;
    }
    status = read_names(own, error);
    if (status != WECKD_OK) {
        return status;
    }
    return bind(own, request, error);
}

static int open_session(void *loaded, const weckd_session_request *request, void **opened, weckd_error error) {
    return weckd_session_open(sizeof(session), prepare, close_session, loaded, request, opened, error);
}

static int run(void *opened, weckd_error error) {
    session *own = opened;
    const weckd_ort_api *api = &own->ort->api;
    const char *const inputs[] = {own->input}, *const outputs[] = {own->output};
    const weckd_ort_value *const values[] = {own->pixels};
    return check(api, api->Run(own->opened, NULL, inputs, values, 1, outputs, 1, &own->probabilities), WECKD_ERR_RUN, error);
}

const weckd_backend weckd_onnxruntime_backend = {
    .name = "onnxruntime",
    .graphs = {".onnx"},
    .load = load,
    .open = open_session,
    .run = run,
    .close = close_session,
    .unload = unload,
    .version = version,
};
