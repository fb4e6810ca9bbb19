#pragma once
// Starting a kernel: shared memory above 48 KiB is asked for, limits are checked, a failed launch throws.
#include <stdexcept>

#include "harness/gpu/cuda_check.h"
#include "impls/attention/cuda/dispatch.h"

namespace assay::attention::cuda {

struct Grid {
  int x = 1, y = 1, z = 1;
};

using harness::gpu::check;

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), Grid grid, int threads, std::size_t shared_bytes, cudaStream_t stream,
            const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (grid.y > 65535 || grid.z > 65535) throw std::invalid_argument("more than 65535 heads or sequences");
  if (shared_bytes > 48UL << 10) {
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          "asking for the shared memory of an attention kernel");
  }
  const dim3 blocks(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z));
  void* values[] = {const_cast<void*>(static_cast<const void*>(&arguments))...};
  check(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), blocks, dim3(static_cast<unsigned>(threads)), values,
                         shared_bytes, stream),
        "launching an attention kernel");
}

}  // namespace assay::attention::cuda
