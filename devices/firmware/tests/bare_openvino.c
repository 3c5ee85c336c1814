/* Runs a model with OpenVINO's C API alone, without a check of any byte: for comparison with this library.
 *
 *   bare_openvino MODEL.xml CACHE|- FRAME.rgb HEIGHT WIDTH FRAMES LIBRARY   prints nanoseconds from start to the first prediction
 * SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <openvino/c/openvino.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void require(int status, const char *what) {
    if (status != 0) {
        (void)fprintf(stderr, "%s failed: %d\n", what, status);
        exit(1);
    }
}
#define CHECK(call) require((int)(call), #call)

#define FIND(name)                                                                                                           \
    __typeof__(name) *name##_p = NULL;                                                                                       \
    do {                                                                                                                     \
        void *found = dlsym(library, #name);                                                                                 \
        memcpy(&name##_p, &found, sizeof found);                                                                             \
        require(found == NULL, #name);                                                                                       \
    } while (0)

int main(int argc, char **argv) {
    uint64_t start = now_ns();
    if (argc != 8) {
        return 2;
    }
    void *library = dlopen(argv[7], RTLD_NOW | RTLD_LOCAL);
    require(library == NULL, "dlopen");
    FIND(ov_core_create);
    FIND(ov_core_set_property);
    FIND(ov_core_compile_model_from_file);
    FIND(ov_compiled_model_create_infer_request);
    FIND(ov_tensor_create_from_host_ptr);
    FIND(ov_infer_request_set_input_tensor_by_index);
    FIND(ov_infer_request_infer);
    int64_t sides[4] = {1, strtol(argv[4], NULL, 10), strtol(argv[5], NULL, 10), 3};
    size_t bytes = (size_t)(sides[1] * sides[2] * 3);
    uint8_t *frame = malloc(bytes);
    FILE *file = fopen(argv[3], "rb");
    require(frame == NULL || file == NULL || fread(frame, 1, bytes, file) != bytes, "reading the frame");
    (void)fclose(file);
    ov_core_t *core = NULL;
    ov_compiled_model_t *compiled = NULL;
    ov_infer_request_t *request = NULL;
    ov_tensor_t *tensor = NULL;
    ov_shape_t shape = {.rank = 4, .dims = sides};
    CHECK(ov_core_create_p(&core));
    CHECK(ov_core_set_property_p(core, "CPU", "PERFORMANCE_HINT", "LATENCY"));
    CHECK(ov_core_set_property_p(core, "CPU", "NUM_STREAMS", "1"));
    CHECK(ov_core_set_property_p(core, "CPU", "INFERENCE_NUM_THREADS", "1"));
    CHECK(ov_core_set_property_p(core, "CPU", "INFERENCE_PRECISION_HINT", "f32"));
    if (strcmp(argv[2], "-") != 0) {
        CHECK(ov_core_set_property_p(core, "CPU", "CACHE_DIR", argv[2]));
    }
    CHECK(ov_core_compile_model_from_file_p(core, argv[1], "CPU", 0, &compiled));
    CHECK(ov_compiled_model_create_infer_request_p(compiled, &request));
    CHECK(ov_tensor_create_from_host_ptr_p(U8, shape, frame, &tensor));
    CHECK(ov_infer_request_set_input_tensor_by_index_p(request, 0, tensor));
    CHECK(ov_infer_request_infer_p(request));
    printf("%llu\n", (unsigned long long)(now_ns() - start));
    for (long i = strtol(argv[6], NULL, 10); i > 1; i--) {
        CHECK(ov_infer_request_infer_p(request));
    }
    return 0;
}
