// The FlashAttention-3 kernels, their tensor maps and their launch. Machine code of sm_90a alone: for other
// architectures the kernels are empty, and no case launches them there.
#include <cuda.h>

#include "impls/attention/cuda/flash_attention_3_kernel.h"
#include "impls/attention/cuda/launch.h"

namespace assay::attention::cuda {
namespace {

template <class Element, int kHeadDim>
__global__ void __launch_bounds__(HopperTile<kHeadDim>::kThreads, 1)
    flash_attention_3_forward_kernel(const __grid_constant__ HopperForward problem) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  flash_attention_3_block<Element, kHeadDim>(problem);
#endif
}

// By the driver, whose library is not linked. Elements are moved as they are, so one 16-bit type serves both.
TensorMap encode_by_driver(const TiledTensor& tensor) {
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap) && alignof(TensorMap) >= alignof(CUtensorMap));
  static const auto encode = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult how{};
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &how),
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

}  // namespace

void flash_attention_3_forward(const FlashAttention3Problem& problem, int head_dim, ElementType element,
                               CUstream_st* stream) {
  for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    using Tile = HopperTile<kHeadDim>;
    const HopperForward forward = hopper_forward<kHeadDim>(problem, encode_by_driver);
    check(cudaMemsetAsync(problem.taken, 0, sizeof(int), stream), "clearing the count of query tiles");
    launch(flash_attention_3_forward_kernel<Element, kHeadDim>, Grid{forward.schedule.blocks}, Tile::kThreads,
           Tile::kSharedBytes, stream, forward);
  });
}

}  // namespace assay::attention::cuda
