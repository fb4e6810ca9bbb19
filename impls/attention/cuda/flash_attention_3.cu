// The FlashAttention-3 forward kernels and their launch. Machine code of sm_90a alone: for other
// architectures the kernels are empty, and no case launches them there.
#include "impls/attention/cuda/encode_tensor.h"
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
