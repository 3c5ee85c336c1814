/* The few calls of ONNX Runtime's C API that are used, by their place in its table. SPDX-License-Identifier: Apache-2.0
 *
 * ONNX Runtime hands out one table of functions, `OrtApi`, which only ever grows at its end; version 1 closes with entry 101
 * and version 5 (ONNX Runtime 1.5) with entry 149. So a place holds for every library from 1.5 on, and no header is needed,
 * which few packages carry. The places were counted in `onnxruntime_c_api.h`; tests/onnxruntime_places.c has the compiler
 * compare them where that header is found, and onnxruntime_backend.c tries some at run time.
 */
#ifndef WECKD_ONNXRUNTIME_API_H
#define WECKD_ONNXRUNTIME_API_H

#include <stddef.h>
#include <stdint.h>

#define WECKD_ORT_API 5     /* version of the table that is asked for */
#define WECKD_ORT_PLACES 150 /* entries that version 5 has */

/* Values of its enumerations. */
enum { WECKD_ORT_FAIL = 1, WECKD_ORT_ERRORS_ONLY = 3, WECKD_ORT_SEQUENTIAL = 0, WECKD_ORT_FLOAT = 1, WECKD_ORT_UINT8 = 2,
       WECKD_ORT_DEVICE_ALLOCATOR = 0, WECKD_ORT_DEFAULT_MEMORY = 0 };

/* Its types, of which nothing is known but their names. */
typedef struct weckd_ort_status weckd_ort_status; /* NULL: it went well */
typedef struct weckd_ort_env weckd_ort_env;
typedef struct weckd_ort_options weckd_ort_options;
typedef struct weckd_ort_session weckd_ort_session;
typedef struct weckd_ort_type weckd_ort_type;
typedef struct weckd_ort_shape weckd_ort_shape;
typedef struct weckd_ort_memory weckd_ort_memory;
typedef struct weckd_ort_allocator weckd_ort_allocator;
typedef struct weckd_ort_value weckd_ort_value;

/* CALL(place, what it returns, name in its header, parameters) */
#define WECKD_ORT_CALLS(CALL)                                                                                                \
    CALL(0, weckd_ort_status *, CreateStatus, (int code, const char *text))                                                  \
    CALL(1, int, GetErrorCode, (const weckd_ort_status *status))                                                             \
    CALL(2, const char *, GetErrorMessage, (const weckd_ort_status *status))                                                 \
    CALL(3, weckd_ort_status *, CreateEnv, (int severity, const char *name, weckd_ort_env **env))                            \
    CALL(8, weckd_ort_status *, CreateSessionFromArray,                                                                      \
         (const weckd_ort_env *env, const void *model, size_t bytes, const weckd_ort_options *options,                       \
          weckd_ort_session **session))                                                                                      \
    CALL(9, weckd_ort_status *, Run,                                                                                         \
         (weckd_ort_session *session, const void *run_options, const char *const *input_names,                               \
          const weckd_ort_value *const *inputs, size_t input_count, const char *const *output_names, size_t output_count,    \
          weckd_ort_value **outputs))                                                                                        \
    CALL(10, weckd_ort_status *, CreateSessionOptions, (weckd_ort_options **options))                                        \
    CALL(13, weckd_ort_status *, SetSessionExecutionMode, (weckd_ort_options *options, int mode))                            \
    CALL(22, weckd_ort_status *, SetSessionLogSeverityLevel, (weckd_ort_options *options, int severity))                     \
    CALL(24, weckd_ort_status *, SetIntraOpNumThreads, (weckd_ort_options *options, int threads))                            \
    CALL(25, weckd_ort_status *, SetInterOpNumThreads, (weckd_ort_options *options, int threads))                            \
    CALL(30, weckd_ort_status *, SessionGetInputCount, (const weckd_ort_session *session, size_t *count))                    \
    CALL(31, weckd_ort_status *, SessionGetOutputCount, (const weckd_ort_session *session, size_t *count))                   \
    CALL(33, weckd_ort_status *, SessionGetInputTypeInfo,                                                                    \
         (const weckd_ort_session *session, size_t index, weckd_ort_type **type))                                            \
    CALL(34, weckd_ort_status *, SessionGetOutputTypeInfo,                                                                   \
         (const weckd_ort_session *session, size_t index, weckd_ort_type **type))                                            \
    CALL(36, weckd_ort_status *, SessionGetInputName,                                                                        \
         (const weckd_ort_session *session, size_t index, weckd_ort_allocator *allocator, char **name))                      \
    CALL(37, weckd_ort_status *, SessionGetOutputName,                                                                       \
         (const weckd_ort_session *session, size_t index, weckd_ort_allocator *allocator, char **name))                      \
    CALL(49, weckd_ort_status *, CreateTensorWithDataAsOrtValue,                                                             \
         (const weckd_ort_memory *memory, void *data, size_t bytes, const int64_t *sides, size_t rank, int type,             \
          weckd_ort_value **value))                                                                                          \
    CALL(55, weckd_ort_status *, CastTypeInfoToTensorInfo, (const weckd_ort_type *type, const weckd_ort_shape **shape))      \
    CALL(60, weckd_ort_status *, GetTensorElementType, (const weckd_ort_shape *shape, int *type))                            \
    CALL(61, weckd_ort_status *, GetDimensionsCount, (const weckd_ort_shape *shape, size_t *rank))                           \
    CALL(62, weckd_ort_status *, GetDimensions, (const weckd_ort_shape *shape, int64_t *sides, size_t rank))                 \
    CALL(69, weckd_ort_status *, CreateCpuMemoryInfo, (int allocator, int memory_type, weckd_ort_memory **memory))           \
    CALL(76, weckd_ort_status *, AllocatorFree, (weckd_ort_allocator *allocator, void *data))                                \
    CALL(78, weckd_ort_status *, GetAllocatorWithDefaultOptions, (weckd_ort_allocator **allocator))                          \
    CALL(92, void, ReleaseEnv, (weckd_ort_env *env))                                                                         \
    CALL(93, void, ReleaseStatus, (weckd_ort_status *status))                                                                \
    CALL(94, void, ReleaseMemoryInfo, (weckd_ort_memory *memory))                                                            \
    CALL(95, void, ReleaseSession, (weckd_ort_session *session))                                                             \
    CALL(96, void, ReleaseValue, (weckd_ort_value *value))                                                                   \
    CALL(98, void, ReleaseTypeInfo, (weckd_ort_type *type))                                                                  \
    CALL(100, void, ReleaseSessionOptions, (weckd_ort_options *options))                                                     \
    CALL(130, weckd_ort_status *, AddSessionConfigEntry, (weckd_ort_options *options, const char *key, const char *value))

typedef struct weckd_ort_api {
#define WECKD_ORT_FIELD(place, type, name, parameters) type(*name) parameters;
    WECKD_ORT_CALLS(WECKD_ORT_FIELD)
#undef WECKD_ORT_FIELD
} weckd_ort_api;

/* Result of the library's one exported function, OrtGetApiBase. */
typedef struct weckd_ort_base {
    const void *(*get_api)(uint32_t version); /* NULL: an older library */
    const char *(*get_version)(void);         /* "1.32.0" */
} weckd_ort_base;

#endif
