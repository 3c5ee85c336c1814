// A stand-in for libnvinfer and libcudart in one file. An engine is the text "engine TYPE HEIGHT WIDTH CLASSES", TYPE uint8
// or float; it predicts as the stand-in for a model does: sums of bytes by place. SPDX-License-Identifier: Apache-2.0
#include "NvInferRuntime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

struct Shape {
    bool wide = false;
    long height = 0, width = 0, classes = 0;
};

class Context final : public nvinfer1::IExecutionContext {
public:
    explicit Context(const Shape &shape) : shape_(shape) {}
    bool setTensorAddress(const char *name, void *data) noexcept override {
        (std::strcmp(name, "frame") == 0 ? input_ : output_) = data;
        return true;
    }
    bool enqueueV3(cudaStream_t) noexcept override {
        double all = 0.0;
        float *out = static_cast<float *>(output_);
        for (long k = 0; k < shape_.classes; k++) {
            double sum = 0.0;
            for (long i = k; i < shape_.height * shape_.width * 3; i += shape_.classes) {
                sum += shape_.wide ? static_cast<double>(static_cast<float *>(input_)[i])
                                   : static_cast<double>(static_cast<unsigned char *>(input_)[i]);
            }
            out[k] = static_cast<float>(sum);
            all += sum;
        }
        for (long k = 0; k < shape_.classes; k++) {
            out[k] = static_cast<float>(static_cast<double>(out[k]) / all);
        }
        return true;
    }

private:
    Shape shape_;
    void *input_ = nullptr, *output_ = nullptr;
};

class Engine final : public nvinfer1::ICudaEngine {
public:
    explicit Engine(const Shape &shape) : shape_(shape) {}
    std::int32_t getNbIOTensors() const noexcept override { return 2; }
    const char *getIOTensorName(std::int32_t index) const noexcept override { return index == 0 ? "frame" : "probabilities"; }
    nvinfer1::TensorIOMode getTensorIOMode(const char *name) const noexcept override {
        return std::strcmp(name, "frame") == 0 ? nvinfer1::TensorIOMode::kINPUT : nvinfer1::TensorIOMode::kOUTPUT;
    }
    nvinfer1::Dims getTensorShape(const char *name) const noexcept override {
        if (std::strcmp(name, "frame") == 0) {
            return {4, {1, shape_.height, shape_.width, 3}};
        }
        return {2, {1, shape_.classes}};
    }
    nvinfer1::DataType getTensorDataType(const char *name) const noexcept override {
        return std::strcmp(name, "frame") == 0 && !shape_.wide ? nvinfer1::DataType::kUINT8 : nvinfer1::DataType::kFLOAT;
    }
    nvinfer1::IExecutionContext *createExecutionContext() noexcept override { return new Context(shape_); }

private:
    Shape shape_;
};

class Runtime final : public nvinfer1::IRuntime {
public:
    explicit Runtime(nvinfer1::ILogger *log) : log_(log) {}
    nvinfer1::ICudaEngine *deserializeCudaEngine(const void *blob, std::size_t size) noexcept override {
        char text[64] = "", type[16] = "";
        Shape shape;
        std::memcpy(text, blob, size < sizeof text - 1 ? size : sizeof text - 1);
        if (std::sscanf(text, "engine %15s %ld %ld %ld", type, &shape.height, &shape.width, &shape.classes) != 4) {
            log_->log(nvinfer1::ILogger::Severity::kERROR, "built by another version");
            return nullptr;
        }
        shape.wide = std::strcmp(type, "float") == 0;
        return new Engine(shape);
    }

private:
    nvinfer1::ILogger *log_;
};

} // namespace

extern "C" {
__attribute__((visibility("default"))) void *createInferRuntime_INTERNAL(void *log, std::int32_t version) {
    nvinfer1::IRuntime *made = version == NV_TENSORRT_VERSION ? new Runtime(static_cast<nvinfer1::ILogger *>(log)) : nullptr;
    return made;
}
__attribute__((visibility("default"))) std::int32_t getInferLibVersion() { return NV_TENSORRT_VERSION; }

cudaError_t cudaMalloc(void **data, size_t bytes) { return (*data = std::malloc(bytes)) ? cudaSuccess : cudaErrorMemoryAllocation; }
cudaError_t cudaFree(void *data) {
    std::free(data);
    return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind, cudaStream_t) {
    std::memcpy(to, from, bytes);
    return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t *stream) {
    *stream = reinterpret_cast<cudaStream_t>(stream);
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
}
