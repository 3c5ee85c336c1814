/* Helpers of the backends: load a library, find its functions, check a graph, open a session. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_BACKEND_COMMON_H
#define WECKD_BACKEND_COMMON_H

#include "backends/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Open the first library of a list (ended by NULL) that loads; `library` alone where it is not NULL. It is never unloaded. */
void *weckd_library_open(const char *library, const char *const *names, weckd_error error);

/* Write the address of a library's function to `function`, a pointer to a function; false: the library lacks it. */
bool weckd_library_find(void *library, const char *name, void *function);

typedef int (*weckd_start)(void *library, void *runtime, weckd_error error);
typedef int (*weckd_prepare)(void *session, void *runtime, const weckd_session_request *request, weckd_error error);

/* Open a library and let `start` fill `bytes` zeros that stand for the runtime. `unload` of the backend frees them. */
int weckd_runtime_load(const char *library, const char *const *names, size_t bytes, weckd_start start,
                       void **runtime, weckd_error error);

/* Let `prepare` fill `bytes` zeros that stand for the session; where it fails, `close` releases them and what they hold. */
int weckd_session_open(size_t bytes, weckd_prepare prepare, void (*close)(void *session), void *runtime,
                       const weckd_session_request *request, void **session, weckd_error error);

/* Check that a graph is what its name says: an ONNX graph that holds all its data, or an IR, which is XML. A runtime goes by the
 * content, and would take an ONNX graph that is called an IR. An engine is checked by its runtime alone. */
int weckd_graph_check(const weckd_blob *graph, weckd_error error);

/* Fail because a model's input or output is not the contract's. */
int weckd_fail_ports(weckd_error error);

#ifdef __cplusplus
}
#endif
#endif
