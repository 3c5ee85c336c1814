/* A stand-in for CUDA's header: the few calls that src/backends/tensorrt_backend.cpp makes. */
#ifndef STAND_IN_CUDA_RUNTIME_API_H
#define STAND_IN_CUDA_RUNTIME_API_H

#include <stddef.h>

typedef enum cudaError { cudaSuccess = 0, cudaErrorMemoryAllocation = 2 } cudaError_t;
typedef enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 } cudaMemcpyKind;
typedef struct CUstream_st *cudaStream_t;

#ifdef __cplusplus
extern "C" {
#endif
__attribute__((visibility("default"))) cudaError_t cudaMalloc(void **data, size_t bytes);
__attribute__((visibility("default"))) cudaError_t cudaFree(void *data);
__attribute__((visibility("default"))) cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream);
__attribute__((visibility("default"))) cudaError_t cudaStreamCreate(cudaStream_t *stream);
__attribute__((visibility("default"))) cudaError_t cudaStreamDestroy(cudaStream_t stream);
__attribute__((visibility("default"))) cudaError_t cudaStreamSynchronize(cudaStream_t stream);
#ifdef __cplusplus
}
#endif
#endif
