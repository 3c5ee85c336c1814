// TensorRT: the engine that `weckd-edge finalize` built on this very device. C++ inside, C outside.
// SPDX-License-Identifier: Apache-2.0
//
// Written against the documented API of TensorRT 8.5 to 11 and never compiled against NVIDIA's own headers, nor run on a
// Jetson: none was at hand. Tests compile and run it against a stand-in for both libraries. The libraries are loaded when a
// bundle is opened, by the two functions that TensorRT exports in C; everything else goes through its classes.
#include "backends/common.h"

#include <NvInferRuntime.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <new>

namespace {

class Log final : public nvinfer1::ILogger {
public:
    void log(Severity severity, const char *text) noexcept override {
        if (severity == Severity::kERROR || severity == Severity::kINTERNAL_ERROR) {
            (void)std::snprintf(last_error, sizeof last_error, "%s", text);
        }
    }
    char last_error[160] = "no reason given";
};

template <typename F> bool find(void *library, const char *name, F &function) {
    return weckd_library_find(library, name, &function);
}

struct Runtime {
    decltype(&cudaMalloc) malloc_ = nullptr;
    decltype(&cudaFree) free_ = nullptr;
    decltype(&cudaMemcpyAsync) copy = nullptr;
    decltype(&cudaStreamCreate) create_stream = nullptr;
    decltype(&cudaStreamDestroy) destroy_stream = nullptr;
    decltype(&cudaStreamSynchronize) synchronize = nullptr;
    void *(*create_runtime)(void *logger, std::int32_t version) = nullptr;
    std::int32_t (*library_version)() = nullptr;
    Log log;
    std::unique_ptr<nvinfer1::IRuntime> runtime;
};

struct Session {
    Runtime *cuda = nullptr;
    std::unique_ptr<nvinfer1::ICudaEngine> engine; // the context goes before it
    std::unique_ptr<nvinfer1::IExecutionContext> context;
    cudaStream_t stream = nullptr;
    void *input = nullptr;
    void *output = nullptr;
    std::unique_ptr<float[]> wide; // where the engine takes float pixels, as TensorRT 8.5's do
    const std::uint8_t *pixels = nullptr;
    float *probabilities = nullptr;
    std::size_t values = 0; // of the pixels
    std::size_t output_bytes = 0;

    ~Session() {
        context.reset();
        engine.reset();
        if (input != nullptr) {
            (void)cuda->free_(input);
        }
        if (output != nullptr) {
            (void)cuda->free_(output);
        }
        if (stream != nullptr) {
            (void)cuda->destroy_stream(stream);
        }
    }
};

int load(const char *library, void **runtime, weckd_error error) {
    static const char *const names[] = {"libnvinfer.so", "libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so.8", nullptr};
    static const char *const cuda_names[] = {"libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0",
                                             "/usr/local/cuda/lib64/libcudart.so", nullptr};
    void *inference = weckd_library_open(library, names, error);
    void *cuda = inference == nullptr ? nullptr : weckd_library_open(nullptr, cuda_names, error);
    if (cuda == nullptr) {
        return WECKD_ERR_BACKEND;
    }
    std::unique_ptr<Runtime> own(new (std::nothrow) Runtime);
    if (!own) {
        return weckd_fail(error, WECKD_ERR_MEMORY, "no memory for TensorRT's runtime");
    }
    if (!find(cuda, "cudaMalloc", own->malloc_) || !find(cuda, "cudaFree", own->free_) ||
        !find(cuda, "cudaMemcpyAsync", own->copy) || !find(cuda, "cudaStreamCreate", own->create_stream) ||
        !find(cuda, "cudaStreamDestroy", own->destroy_stream) || !find(cuda, "cudaStreamSynchronize", own->synchronize) ||
        !find(inference, "createInferRuntime_INTERNAL", own->create_runtime) ||
        !find(inference, "getInferLibVersion", own->library_version)) {
        return weckd_fail(error, WECKD_ERR_BACKEND, "TensorRT's or CUDA's library lacks a call that is needed");
    }
    own->runtime.reset(static_cast<nvinfer1::IRuntime *>(own->create_runtime(&own->log, NV_TENSORRT_VERSION)));
    if (!own->runtime) {
        return weckd_fail(error, WECKD_ERR_BACKEND, "TensorRT does not start (%.150s); is a GPU visible here?",
                          own->log.last_error);
    }
    *runtime = own.release();
    return WECKD_OK;
}

void unload(void *runtime) { delete static_cast<Runtime *>(runtime); }

void version(void *runtime, char text[WECKD_VERSION_BYTES]) {
    const int number = static_cast<Runtime *>(runtime)->library_version();
    const int unit = number >= 10000 ? 10000 : 1000; // 100300 is 10.3.0, 8502 is 8.5.2
    (void)std::snprintf(text, WECKD_VERSION_BYTES, "%d.%d.%d", number / unit, number % unit / 100, number % 100);
}

template <std::size_t rank> bool has_shape(const nvinfer1::Dims &dims, const std::int64_t (&sides)[rank]) {
    return dims.nbDims == static_cast<std::int32_t>(rank) && std::equal(sides, sides + rank, dims.d, [](auto side, auto found) {
               return side == static_cast<std::int64_t>(found);
           });
}

// One input, the pixels, and one output, the probabilities; anything else is not this bundle's engine.
bool find_tensors(Session &own, const weckd_session_request &request, const char *&input, const char *&output) {
    if (own.engine->getNbIOTensors() != 2) {
        return false;
    }
    for (std::int32_t i = 0; i < 2; i++) {
        const char *name = own.engine->getIOTensorName(i);
        const bool is_input = own.engine->getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
        (is_input ? input : output) = name;
    }
    if (input == nullptr || output == nullptr) {
        return false;
    }
    const auto type = own.engine->getTensorDataType(input);
    if (type == nvinfer1::DataType::kFLOAT) {
        own.wide.reset(new (std::nothrow) float[own.values]);
    }
    return (type == nvinfer1::DataType::kUINT8 || own.wide) &&
           own.engine->getTensorDataType(output) == nvinfer1::DataType::kFLOAT &&
           has_shape(own.engine->getTensorShape(input), request.pixels_shape) &&
           has_shape(own.engine->getTensorShape(output), request.probabilities_shape);
}

int prepare(Session &own, Runtime &runtime, const weckd_session_request &request, weckd_error error) {
    own.cuda = &runtime;
    own.pixels = request.pixels;
    own.probabilities = request.probabilities;
    own.values = request.pixels_bytes;
    own.output_bytes = request.probabilities_bytes;
    own.engine.reset(runtime.runtime->deserializeCudaEngine(request.graph.data, request.graph.bytes));
    if (!own.engine) {
        return weckd_fail(error, WECKD_ERR_MODEL, "TensorRT cannot load the engine (%.150s); build it on this device",
                          runtime.log.last_error);
    }
    const char *input = nullptr, *output = nullptr;
    if (!find_tensors(own, request, input, output)) {
        return weckd_fail_ports(error);
    }
    own.context.reset(own.engine->createExecutionContext());
    if (!own.context || runtime.create_stream(&own.stream) != cudaSuccess ||
        runtime.malloc_(&own.input, own.values * (own.wide ? sizeof(float) : 1)) != cudaSuccess ||
        runtime.malloc_(&own.output, own.output_bytes) != cudaSuccess || !own.context->setTensorAddress(input, own.input) ||
        !own.context->setTensorAddress(output, own.output)) {
        return weckd_fail(error, WECKD_ERR_MEMORY, "the GPU has no memory left for this engine (%.150s)", runtime.log.last_error);
    }
    return WECKD_OK;
}

int open_session(void *runtime, const weckd_session_request *request, void **opened, weckd_error error) {
    std::unique_ptr<Session> own(new (std::nothrow) Session);
    if (!own) {
        return weckd_fail(error, WECKD_ERR_MEMORY, "no memory for a TensorRT session");
    }
    const int status = prepare(*own, *static_cast<Runtime *>(runtime), *request, error);
    if (status == WECKD_OK) {
        *opened = own.release();
    }
    return status;
}

int run(void *opened, weckd_error error) {
    Session &own = *static_cast<Session *>(opened);
    const void *from = own.pixels;
    std::size_t bytes = own.values;
    if (own.wide) {
        for (std::size_t i = 0; i < own.values; i++) {
            own.wide[i] = own.pixels[i];
        }
        from = own.wide.get();
        bytes *= sizeof(float);
    }
    if (own.cuda->copy(own.input, from, bytes, cudaMemcpyHostToDevice, own.stream) != cudaSuccess ||
        !own.context->enqueueV3(own.stream) ||
        own.cuda->copy(own.probabilities, own.output, own.output_bytes, cudaMemcpyDeviceToHost, own.stream) != cudaSuccess ||
        own.cuda->synchronize(own.stream) != cudaSuccess) {
        return weckd_fail(error, WECKD_ERR_RUN, "TensorRT failed on a frame (%.150s)", own.cuda->log.last_error);
    }
    return WECKD_OK;
}

void close_session(void *opened) { delete static_cast<Session *>(opened); }

} // namespace

extern "C" const weckd_backend weckd_tensorrt_backend = {
    "tensorrt", {".engine"}, nullptr, true, load, nullptr, open_session, run, close_session, unload, version,
};
