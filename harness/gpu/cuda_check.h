#pragma once
// For .cu files and host code that calls the CUDA runtime: an error becomes an exception with the error's own name.
#include <cuda_runtime_api.h>

#include "harness/gpu/device.h"

namespace assay::harness::gpu {

// `doing` completes "failed while": "copying the keys", "launching attention forward".
inline void check(cudaError_t error, const char* doing) {
  if (error != cudaSuccess) throw DeviceError(cudaGetErrorName(error), cudaGetErrorString(error), doing);
}

// After every <<<>>>: a bad geometry is reported here, a fault inside the kernel when the stream is synchronised.
inline void check_launch(const char* doing) { check(cudaGetLastError(), doing); }

}  // namespace assay::harness::gpu
