// cuTensorMapEncodeTiled of the driver, whose library is not linked.
#include "impls/attention/cuda/encode_tensor.h"

#include <cuda.h>

#include <stdexcept>
#include <string>

#include "harness/gpu/cuda_check.h"

namespace assay::attention::cuda {

// Elements are moved as they are, so one 16-bit type serves both.
TensorMap encode_by_driver(const TiledTensor& tensor) {
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap) && alignof(TensorMap) >= alignof(CUtensorMap));
  static const auto encode = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult how{};
    harness::gpu::check(
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &how),
        "looking for cuTensorMapEncodeTiled");
    if (how != cudaDriverEntryPointSuccess || found == nullptr)
      throw harness::gpu::NoDevice("the driver lacks cuTensorMapEncodeTiled; it is older than this build needs");
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(found);
  }();
  const cuuint64_t* const sizes = tensor.sizes;
  const cuuint64_t* const strides = tensor.strides;
  const cuuint32_t every_element[5] = {1, 1, 1, 1, 1};
  TensorMap map;
  const CUresult result = encode(reinterpret_cast<CUtensorMap*>(&map), CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 5,
                                 const_cast<void*>(tensor.address), sizes, strides, tensor.box, every_element,
                                 CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS)
    throw std::invalid_argument("cuTensorMapEncodeTiled refuses a tensor: " + std::to_string(result));
  return map;
}

}  // namespace assay::attention::cuda
