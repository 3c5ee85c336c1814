/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/common.h"

#include "files/path.h"
#include "formats/onnx.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

void *weckd_library_open(const char *library, const char *const *names, weckd_error error) {
    const char *const only[] = {library, NULL};
    bool is_found = false; /* one is there, and does not load: that is what to report */
    bool is_told = false;
    for (const char *const *name = library != NULL ? only : names; *name != NULL; name++) {
        void *handle = dlopen(*name, RTLD_NOW | RTLD_LOCAL);
        if (handle != NULL) {
            return handle;
        }
        const char *reason = dlerror();
        reason = reason != NULL ? reason : "the runtime's library cannot be loaded";
        bool is_missing = strncmp(reason, *name, strlen(*name)) == 0 && strstr(reason, "No such file") != NULL;
        if (!is_told || (!is_found && !is_missing)) {
            (void)weckd_fail(error, WECKD_ERR_BACKEND, "%.200s", reason);
        }
        is_told = true;
        is_found = is_found || !is_missing;
    }
    return NULL;
}

bool weckd_library_find(void *library, const char *name, void *function) {
    void *found = dlsym(library, name);
    memcpy(function, &found, sizeof found); /* POSIX: a function's address fits an object's */
    return found != NULL;
}

int weckd_runtime_load(const char *library, const char *const *names, size_t bytes, weckd_start start,
                       void **runtime, weckd_error error) {
    void *handle = weckd_library_open(library, names, error);
    if (handle == NULL) {
        return WECKD_ERR_BACKEND;
    }
    void *own = calloc(1, bytes);
    if (own == NULL) {
        return weckd_fail(error, WECKD_ERR_MEMORY, "no memory for the runtime's table of calls");
    }
    int status = start(handle, own, error);
    if (status != WECKD_OK) {
        free(own);
        return status;
    }
    *runtime = own;
    return WECKD_OK;
}

int weckd_session_open(size_t bytes, weckd_prepare prepare, void (*close)(void *session), void *runtime,
                       const weckd_session_request *request, void **session, weckd_error error) {
    void *own = calloc(1, bytes);
    if (own == NULL) {
        return weckd_fail(error, WECKD_ERR_MEMORY, "no memory for a session of the runtime");
    }
    int status = prepare(own, runtime, request, error);
    if (status != WECKD_OK) {
        close(own);
        return status;
    }
    *session = own;
    return WECKD_OK;
}

int weckd_graph_check(const weckd_blob *graph, weckd_error error) {
    if (weckd_path_ends_with(graph->path, ".onnx")) {
        return weckd_onnx_check(graph->data, graph->bytes, error);
    }
    bool is_bad = weckd_path_ends_with(graph->path, ".xml") && (graph->bytes == 0 || graph->data[0] != '<');
    return is_bad ? weckd_fail(error, WECKD_ERR_MODEL, "%.150s: is no XML", graph->path) : WECKD_OK;
}

int weckd_fail_ports(weckd_error error) {
    return weckd_fail(error, WECKD_ERR_MODEL, "the model's input or output is not what the manifest says "
                                              "(uint8 [1, height, width, 3] to float32 [1, classes])");
}
