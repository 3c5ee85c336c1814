/* A stand-in for libonnxruntime: its table of calls, over a graph whose name is "graph TYPE HEIGHT WIDTH CLASSES", TYPE
 * uint8 or float, and probabilities as those of the stand-in for a model: sums of bytes by place.
 *
 * WECKD_STAND_IN says how it misbehaves: "old" has no table, "shuffled" one of another order, "holes" one with a hole, "version"
 * calls itself 2.0, and a number lets the call at that place fail. "telemetry" refuses to start where it would report to its maker.
 * SPDX-License-Identifier: Apache-2.0 */
#include "backends/onnxruntime_api.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct weckd_ort_status {
    int code;
    char text[64];
};
struct weckd_ort_session {
    bool is_float;
    long long height, width, classes;
};
struct weckd_ort_shape {
    int type;
    size_t rank;
    int64_t sides[4];
};
struct weckd_ort_type {
    struct weckd_ort_shape shape;
};
struct weckd_ort_value {
    void *data;
};

static weckd_ort_status *make_status(int code, const char *text) {
    weckd_ort_status *status = calloc(1, sizeof *status);
    if (status != NULL) {
        status->code = code;
        (void)snprintf(status->text, sizeof status->text, "%s", text);
    }
    return status;
}

static int get_code(const weckd_ort_status *status) { return status->code; }
static int get_another(const weckd_ort_status *status) { return status->code + 1; }
static const char *get_message(const weckd_ort_status *status) { return status->text; }

static weckd_ort_status *fails(int place) {
    const char *mode = getenv("WECKD_STAND_IN");
    char text[64];
    (void)snprintf(text, sizeof text, "the call at %d was told to fail", place);
    return mode != NULL && mode[0] >= '0' && mode[0] <= '9' && strtol(mode, NULL, 10) == place
               ? make_status(WECKD_ORT_FAIL, text)
               : NULL;
}

#define FAIL_IF_TOLD(place)                                                                                                  \
    do {                                                                                                                     \
        weckd_ort_status *failure = fails(place);                                                                               \
        if (failure != NULL) {                                                                                                  \
            return failure;                                                                                                     \
        }                                                                                                                    \
    } while (0)

/* A block that must be given back: what is forgotten is a leak that the sanitizer names. */
static weckd_ort_status *take(int place, void *to) {
    FAIL_IF_TOLD(place);
    void *block = calloc(1, 64);
    memcpy(to, &block, sizeof block);
    return NULL;
}

static bool quiet_when_loaded;
__attribute__((constructor)) static void look_as_the_real_one_does(void) {
    const char *mode = getenv("ORT_DISABLE_TELEMETRY");
    quiet_when_loaded = mode != NULL && strcmp(mode, "1") == 0;
}

static weckd_ort_status *create_env(int severity, const char *name, weckd_ort_env **env) {
    (void)severity;
    (void)name;
    const char *mode = getenv("WECKD_STAND_IN");
    if (mode != NULL && strcmp(mode, "telemetry") == 0 && !quiet_when_loaded) {
        return make_status(WECKD_ORT_FAIL, "it reports to its maker");
    }
    return take(3, env);
}

static weckd_ort_status *create_session(const weckd_ort_env *env, const void *model, size_t bytes,
                                        const weckd_ort_options *options, weckd_ort_session **session) {
    (void)env;
    (void)options;
    FAIL_IF_TOLD(8);
    char text[64] = "", type[16] = "";
    weckd_ort_session graph = {0};
    const char *name = (const char *)model + 4; /* behind the keys and the lengths of a graph and of its name */
    size_t length = bytes < 4 ? 0 : bytes - 4;
    memcpy(text, name, length < sizeof text - 1 ? length : sizeof text - 1);
    if (sscanf(text, "graph %15s %lld %lld %lld", type, &graph.height, &graph.width, &graph.classes) != 4) {
        return make_status(7, "not a graph");
    }
    graph.is_float = strcmp(type, "float") == 0;
    *session = malloc(sizeof graph);
    **session = graph;
    return NULL;
}

static weckd_ort_status *run(weckd_ort_session *session, const void *run_options, const char *const *input_names,
                             const weckd_ort_value *const *inputs, size_t input_count, const char *const *output_names,
                             size_t output_count, weckd_ort_value **outputs) {
    FAIL_IF_TOLD(9);
    if (run_options != NULL || input_count != 1 || output_count != 1 || strcmp(input_names[0], "in") != 0 ||
        strcmp(output_names[0], "out") != 0) {
        return make_status(2, "run with other inputs or outputs than the graph has");
    }
    const unsigned char *frame = inputs[0]->data;
    float *probabilities = outputs[0]->data;
    double all = 0.0;
    for (long long k = 0; k < session->classes; k++) {
        double sum = 0.0;
        for (long long i = k; i < session->height * session->width * 3; i += session->classes) {
            sum += frame[i];
        }
        probabilities[k] = (float)sum;
        all += sum;
    }
    for (long long k = 0; k < session->classes; k++) {
        probabilities[k] = (float)((double)probabilities[k] / all);
    }
    return NULL;
}

static weckd_ort_status *create_options(weckd_ort_options **options) { return take(10, options); }
static weckd_ort_status *set_mode(weckd_ort_options *options, int mode) {
    (void)options;
    FAIL_IF_TOLD(13);
    return mode == WECKD_ORT_SEQUENTIAL ? NULL : make_status(2, "not sequential");
}
static weckd_ort_status *set_log(weckd_ort_options *options, int severity) {
    (void)options;
    (void)severity;
    return fails(22);
}
static weckd_ort_status *set_intra(weckd_ort_options *options, int threads) {
    (void)options;
    FAIL_IF_TOLD(24);
    return threads == 1 ? NULL : make_status(2, "more than one thread");
}
static weckd_ort_status *set_inter(weckd_ort_options *options, int threads) {
    (void)options;
    FAIL_IF_TOLD(25);
    return threads == 1 ? NULL : make_status(2, "more than one thread");
}
static weckd_ort_status *count_inputs(const weckd_ort_session *session, size_t *count) {
    (void)session;
    *count = 1;
    return fails(30);
}
static weckd_ort_status *count_outputs(const weckd_ort_session *session, size_t *count) {
    (void)session;
    *count = 1;
    return fails(31);
}

static weckd_ort_status *input_type(const weckd_ort_session *session, size_t index, weckd_ort_type **type) {
    (void)index;
    FAIL_IF_TOLD(33);
    *type = malloc(sizeof **type);
    (*type)->shape = (struct weckd_ort_shape){session->is_float ? WECKD_ORT_FLOAT : WECKD_ORT_UINT8, 4,
                                              {1, session->height, session->width, 3}};
    return NULL;
}

static weckd_ort_status *output_type(const weckd_ort_session *session, size_t index, weckd_ort_type **type) {
    (void)index;
    FAIL_IF_TOLD(34);
    *type = malloc(sizeof **type);
    (*type)->shape = (struct weckd_ort_shape){WECKD_ORT_FLOAT, 2, {1, session->classes}};
    return NULL;
}

static weckd_ort_status *name(int place, const char *text, char **to) {
    FAIL_IF_TOLD(place);
    *to = strdup(text);
    return NULL;
}

static weckd_ort_status *input_name(const weckd_ort_session *session, size_t index, weckd_ort_allocator *allocator,
                                    char **to) {
    (void)session;
    (void)index;
    (void)allocator;
    return name(36, "in", to);
}

static weckd_ort_status *output_name(const weckd_ort_session *session, size_t index, weckd_ort_allocator *allocator,
                                     char **to) {
    (void)session;
    (void)index;
    (void)allocator;
    return name(37, "out", to);
}

static weckd_ort_status *create_tensor(const weckd_ort_memory *memory, void *data, size_t bytes, const int64_t *sides,
                                       size_t rank, int type, weckd_ort_value **value) {
    (void)memory;
    (void)type;
    FAIL_IF_TOLD(49);
    int64_t values = 1;
    for (size_t i = 0; i < rank; i++) {
        values *= sides[i];
    }
    if (bytes != (size_t)values * (type == WECKD_ORT_FLOAT ? sizeof(float) : 1)) {
        return make_status(2, "a tensor of another size than its shape");
    }
    *value = malloc(sizeof **value);
    (*value)->data = data;
    return NULL;
}

static weckd_ort_status *shape_of(const weckd_ort_type *type, const weckd_ort_shape **shape) {
    *shape = &type->shape;
    return fails(55);
}
static weckd_ort_status *element_type(const weckd_ort_shape *shape, int *type) {
    *type = shape->type;
    return fails(60);
}
static weckd_ort_status *rank_of(const weckd_ort_shape *shape, size_t *rank) {
    *rank = shape->rank;
    return fails(61);
}
static weckd_ort_status *sides_of(const weckd_ort_shape *shape, int64_t *sides, size_t rank) {
    memcpy(sides, shape->sides, rank * sizeof *sides);
    return fails(62);
}
static weckd_ort_status *create_memory(int allocator, int type, weckd_ort_memory **memory) {
    (void)allocator;
    (void)type;
    return take(69, memory);
}
static weckd_ort_status *allocator_free(weckd_ort_allocator *allocator, void *data) {
    (void)allocator;
    free(data);
    return fails(76);
}
static weckd_ort_status *get_allocator(weckd_ort_allocator **allocator) {
    *allocator = NULL;
    return fails(78);
}
static void release_env(weckd_ort_env *env) { free(env); }
static void release_status(weckd_ort_status *status) { free(status); }
static void release_memory(weckd_ort_memory *memory) { free(memory); }
static void release_session(weckd_ort_session *session) { free(session); }
static void release_value(weckd_ort_value *value) { free(value); }
static void release_type(weckd_ort_type *type) { free(type); }
static void release_options(weckd_ort_options *options) { free(options); }
static weckd_ort_status *add_entry(weckd_ort_options *options, const char *key, const char *value) {
    (void)options;
    FAIL_IF_TOLD(130);
    bool is_known = strcmp(key, "session.load_model_format") == 0   ? strcmp(value, "ONNX") == 0
                    : strcmp(key, "session.x64quantprecision") == 0 ? strcmp(value, "1") == 0
                                                                    : strncmp(key, "session.", 8) == 0 && strcmp(value, "0") == 0;
    return is_known ? NULL : make_status(2, "an entry that is not known");
}

static bool is_mode(const char *mode) {
    const char *text = getenv("WECKD_STAND_IN");
    return text != NULL && strcmp(text, mode) == 0;
}

static const void *get_api(uint32_t version) {
    static const weckd_ort_api calls = {
        make_status, get_code, get_message, create_env, create_session, run, create_options, set_mode, set_log, set_intra,
        set_inter, count_inputs, count_outputs, input_type, output_type, input_name, output_name, create_tensor, shape_of,
        element_type, rank_of, sides_of, create_memory, allocator_free, get_allocator, release_env, release_status,
        release_memory, release_session, release_value, release_type, release_options, add_entry,
    };
    static void *table[WECKD_ORT_PLACES];
#define PUT(place, type, called, parameters) memcpy(&table[place], &calls.called, sizeof table[place]);
    WECKD_ORT_CALLS(PUT)
#undef PUT
    if (is_mode("shuffled")) {
        int (*another)(const weckd_ort_status *) = get_another;
        memcpy(&table[1], &another, sizeof table[1]);
    }
    if (is_mode("holes")) {
        table[130] = NULL;
    }
    return version != WECKD_ORT_API || is_mode("old") ? NULL : table;
}

static const char *get_version(void) { return is_mode("version") ? "2.0.0" : "1.99.0"; }

__attribute__((visibility("default"))) const weckd_ort_base *OrtGetApiBase(void);

const weckd_ort_base *OrtGetApiBase(void) {
    static const weckd_ort_base base = {get_api, get_version};
    return &base;
}
